"""GTFS-Realtime, pure: no I/O beyond the bytes it is handed, no clock, no pandas."""
