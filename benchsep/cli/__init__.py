"""The command line: a module for each group of commands, named as the command.

``app``       the program: commands, ``--version``, completion, exit codes
``options``   options that several commands share; those of a run, made from ``Suite``
``output``    what is printed: tables and file names on stdout, messages on stderr
``progress``  the progress bars of a run
others        the commands: each parses its options, calls one function, prints the result

No command imports torch, pandas or SciPy before it runs, so that ``--help`` is quick.
"""

from benchsep.cli.app import app, main

__all__ = ["app", "main"]
