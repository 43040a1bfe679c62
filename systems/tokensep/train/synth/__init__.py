"""Synthetic training songs: MIDI, arrangement, rendering."""
