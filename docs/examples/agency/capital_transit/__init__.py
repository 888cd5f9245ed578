"""Capital Transit's feeds and rules for continuous_gtfs."""
