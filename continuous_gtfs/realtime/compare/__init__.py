"""What differs between two realtime feeds, entity by entity; pure, and independent of who made them."""
