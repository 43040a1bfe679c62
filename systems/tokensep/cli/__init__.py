"""The command line: a module for each group of commands.

``app``       the program: commands, exit codes
``configs``   names, files and ``key=value`` texts → configurations
others        the commands: each parses its options, calls one function, prints the result

Torch is imported by the commands that need it, so that ``--help`` is quick.
"""

from tokensep.cli.app import app, main

__all__ = ["app", "main"]
