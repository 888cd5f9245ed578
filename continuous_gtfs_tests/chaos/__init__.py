"""The platform under kill -9 and faults: where, what, and whether anything was lost, torn or repeated."""
