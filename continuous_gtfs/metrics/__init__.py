"""Metrics: which there are, their values, reading them in bounded time, handing them out. Knows no Dagster."""
