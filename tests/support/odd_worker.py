"""Make a worker odd: Dask loads this into each worker that is started with ``--preload``, before its first task.

The variable ``ODD`` says how: ``dies TEXT`` ends the process at each page that holds TEXT; ``stops N`` stops it like
SIGSTOP, once, between the download of its N-th image and the put.
"""

import os
import signal

from cometflux.distributed import workbench
from cometflux.storage.object_store import Store


def make_odd(how, what):
    carry_out, write, written = workbench.carry_out, Store.write, []

    async def die(data):
        if what.encode() in data:
            os._exit(1)
        return await carry_out(data)

    async def stop_before_put(*arguments, **options):
        written.append(arguments)
        if len(written) == int(what):
            os.kill(os.getpid(), signal.SIGSTOP)
        return await write(*arguments, **options)

    if how == "dies":
        workbench.carry_out = die
    else:
        Store.write = stop_before_put


# Dask loads this file more than once.
if not hasattr(workbench, "is_odd"):
    workbench.is_odd = True
    make_odd(*os.environ["ODD"].split(" ", 1))
