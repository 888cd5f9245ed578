"""Continuous publishing of GTFS Schedule and GTFS-Realtime feeds on Dagster.

Importing the package does nothing but name its version: no environment, clock, network or instance.
"""

__version__ = "0.1.0"
