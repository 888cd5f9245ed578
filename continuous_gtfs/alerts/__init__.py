"""Alerts: what a problem is, when it is told of, how it reads, and how it is delivered. Knows no Dagster."""
