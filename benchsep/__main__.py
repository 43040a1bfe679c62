"""``python -m benchsep``: the command line without an installed script."""

from benchsep.cli import main

if __name__ == "__main__":
    main()
