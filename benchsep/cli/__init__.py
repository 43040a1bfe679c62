"""The command line: one module per group of commands; each parses, calls and prints."""

from benchsep.cli.app import app, main

__all__ = ["app", "main"]
