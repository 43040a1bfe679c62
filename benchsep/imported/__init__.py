"""Imports results of others as additional rows of a run: museval's files, CSV tables."""
