"""Run the command with ``python -m cometflux.cli``."""

import sys

from cometflux.cli import main

sys.exit(main())
