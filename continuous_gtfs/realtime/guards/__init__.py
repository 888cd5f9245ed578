"""Claims that a realtime feed must meet before it is published. Pure: what to do about a failed one is for ``defs``."""
