"""Use many machines: save images on the workers of a cluster, and divide lists among machines."""

from typing import Any

import cometflux
from cometflux.distributed.dask import DaskEngine
from cometflux.distributed.engine import Engine, EngineLostError
from cometflux.distributed.orders import WorkSettings
from cometflux.distributed.pool import SaverPool
from cometflux.engine.savers import SaveOrder, SaveResult, Savers

__all__ = ["Engine", "EngineLostError", "SaveOrder", "SaveResult", "SaverPool", "Savers", "WorkSettings", "open_savers"]


def open_savers(cluster: Any, settings: WorkSettings) -> Savers:
    """Make savers for a session: on the workers of a Dask cluster, or of another engine.

    Args:
        cluster: the address of a Dask scheduler, such as ``tcp://host:8786``; a number of processes to start on this
            machine; a ``distributed.Client``, whose scheduler is used; your own `Engine`; or your own savers, which are
            returned.
        settings: how a worker fetches and writes.

    Raises:
        ConfigError: *cluster* is none of these.
        MissingExtraError: the extra ``distributed`` is not installed.
    """
    if hasattr(cluster, "caught_up"):
        own: Savers = cluster
        return own
    engine = cluster if hasattr(cluster, "carry_out") else DaskEngine(cluster)
    return SaverPool(engine, settings, cometflux.__version__)
