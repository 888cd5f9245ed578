"""Sound Transit, the reference agency."""
