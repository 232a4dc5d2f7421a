"""Run the command with ``python -m cometflux``."""

import sys

from cometflux.cli import main

sys.exit(main())
