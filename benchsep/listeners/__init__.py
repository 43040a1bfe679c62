"""Listening studies: ratings, and the agreement of metrics with listeners."""
