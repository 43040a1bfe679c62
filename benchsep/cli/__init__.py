"""The command line: one module per group of commands.

``app``       the program: commands, ``--version``, completion, exit codes
``options``   options that several commands share; those of a run, made from ``Suite``
``output``    printing: tables and file names on stdout, messages on stderr
``progress``  the progress bars of a run
others        the commands: each parses its options, calls one function, prints the result

Commands import torch, pandas and SciPy only when they run, so ``--help`` is fast.
"""

from benchsep.cli.app import app, main

__all__ = ["app", "main"]
