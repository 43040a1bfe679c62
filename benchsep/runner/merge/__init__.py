"""``benchsep merge``: the run folders of several people as one, with every conflict by name."""
