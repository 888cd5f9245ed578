"""What an agency declares. A new agency is a new folder here or an outside package, chosen by configuration."""
