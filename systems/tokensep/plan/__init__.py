"""Estimates the cost of a training before it is started: ``tokensep plan``."""
