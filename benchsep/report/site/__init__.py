"""The listening page: a static site that works from disk, without a network."""
