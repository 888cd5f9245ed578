"""The launcher and the storage against the pinned Dagster, a real code server and a real PostgreSQL."""
