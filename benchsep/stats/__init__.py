"""Statistics over songs: aggregation, paired comparison, bootstrap, spread, power."""
