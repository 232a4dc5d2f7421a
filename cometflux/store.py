"""Another name of `cometflux.storage.object_store`, for one release more."""

from cometflux.storage.object_store import Store, open_store

__all__ = ["Store", "open_store"]
