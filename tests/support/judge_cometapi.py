"""Run the vendor's own command line against the account of a local service.

::

    python judge_cometapi.py ORIGIN COMMAND [OPTIONS]

The command line reads the address of its other routes from the environment, but takes that of the account's from a
constant of its own.
"""

import os
import sys

from cometapi_cli import client
from cometapi_cli.main import app

client.COMETAPI_DASHBOARD_BASE = sys.argv[1]
os.environ["COMETAPI_BASE_URL"] = f"{sys.argv[1]}/v1"
sys.argv[1:] = sys.argv[2:]
app()
