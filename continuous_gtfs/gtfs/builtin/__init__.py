"""The built-in steps on a schedule, by kind; authors import them from ``continuous_gtfs.gtfs.steps``."""
