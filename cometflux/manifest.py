"""Another name of `cometflux.journal.manifest`, for one release more."""

from cometflux.journal.manifest import write_manifest

__all__ = ["write_manifest"]
