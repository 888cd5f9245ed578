"""The two code locations."""
