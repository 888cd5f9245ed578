"""What differs between two versions of a feed: rows by key, and what people ask of routes, stops, trips and service."""
