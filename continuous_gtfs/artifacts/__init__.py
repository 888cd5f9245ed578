"""Where versions and published feeds live."""
