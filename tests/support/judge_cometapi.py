"""Run the vendor's own command line against the account of a local service.

::

    python judge_cometapi.py ORIGIN COMMAND [OPTIONS]

The command line takes the account's address from a constant of its own.
"""

import sys

from cometapi_cli import client
from cometapi_cli.main import app

client.COMETAPI_DASHBOARD_BASE = sys.argv[1]
sys.argv[1:] = sys.argv[2:]
app()
