"""The files under deploy/."""
