"""``python -m benchsep.visqol --reference REF --degraded EST``: visqol-python's command."""

from __future__ import annotations

import argparse
import sys

from benchsep.errors import BenchsepError


def main(arguments: list[str] | None = None) -> int:
    """Print the score; returns the exit code, 1 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchsep.visqol",
        description="Compute ViSQOL v3 (audio mode) of an estimate.",
    )
    parser.add_argument("-r", "--reference", required=True, help="the true stem, an audio file")
    parser.add_argument("-d", "--degraded", required=True, help="the estimate, an audio file")
    options = parser.parse_args(arguments)
    from benchsep.visqol.api import VisqolApi

    api = VisqolApi()
    api.create()
    try:
        found = api.measure(options.reference, options.degraded)
    except (BenchsepError, OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"MOS-LQO: {found.moslqo:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
