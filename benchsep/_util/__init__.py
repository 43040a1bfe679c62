"""Small helpers: atomic files, YAML limits, escaping, text tables, memory, devices."""
