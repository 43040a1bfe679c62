"""Published values of others with their definitions, and comparisons with our values."""
