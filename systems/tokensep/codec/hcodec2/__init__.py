"""The published H-Codec-2.0: its configuration, the names of its weights, their import."""
