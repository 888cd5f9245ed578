"""Steps, their results, and running an ordered list of them. Pure: knows no feed format, no Dagster, no HTTP."""
