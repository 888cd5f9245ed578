"""Claims about a schedule that stand before its publication, each a pure function with numbers."""
