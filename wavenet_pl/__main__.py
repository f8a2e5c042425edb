"""`python -m wavenet_pl` is `wavenet-pl`."""

import sys

from wavenet_pl.cli import main

if __name__ == "__main__":
    sys.exit(main())
