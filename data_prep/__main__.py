"""`python -m data_prep` is `wavenet-pl prepare`."""

from __future__ import annotations

import argparse
import sys

from data_prep.arguments import add_arguments
from data_prep.command import main
from wavenet_pl.errors import BadDataError, UserError


def run() -> int:
    """Parse, prepare, and turn how it ends into an exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__, allow_abbrev=False)
    add_arguments(parser)
    try:
        return main(parser.parse_intermixed_args())
    except (UserError, BadDataError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(run())
