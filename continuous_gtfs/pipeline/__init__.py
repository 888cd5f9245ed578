"""Steps, their results, and running an ordered list of them. Pure: no feed format, no Dagster, no HTTP."""
