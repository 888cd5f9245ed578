"""A stand-in PIMS to run against: a generated agency, replay of captures, faults on demand."""
