"""Dagster: assets, checks, sensors, partitions, jobs, resources. Bodies are thin; the work is in the pure layers."""
