"""``benchsep merge``: merges the run folders of several people and reports every conflict."""
