"""GTFS Schedule, pure: no I/O beyond the bytes or path it is handed, no clock."""
