"""The command line: one module per group of commands.

``app``       the program: commands, exit codes
``configs``   names, files and ``key=value`` texts → configurations
others        the commands: each parses its options, calls one function, prints the result

Only the commands that need torch import it, so that ``--help`` is fast.
"""

from tokensep.cli.app import app, main

__all__ = ["app", "main"]
