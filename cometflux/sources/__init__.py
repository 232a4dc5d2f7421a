"""Read prompts from tables, dataframes and sweeps, and fill in templates.

The engine does not import this folder. A module that needs an extra imports it on first use, and its error names the
extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cometflux.sources.errors import Fault, SourceError
    from cometflux.sources.folder_pictures import FolderPicture, read_pictures
    from cometflux.sources.job_reader import JobStream, read_jobs, stream_jobs
    from cometflux.sources.rows import Format
    from cometflux.sources.schema_files import read_schema

__all__ = [
    "Fault",
    "FolderPicture",
    "Format",
    "JobStream",
    "SourceError",
    "read_jobs",
    "read_pictures",
    "read_schema",
    "stream_jobs",
]

_HOMES = {
    "Fault": "errors",
    "FolderPicture": "folder_pictures",
    "Format": "rows",
    "JobStream": "job_reader",
    "SourceError": "errors",
    "read_jobs": "job_reader",
    "read_pictures": "folder_pictures",
    "read_schema": "schema_files",
    "stream_jobs": "job_reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cometflux.sources' has no attribute {name!r}")
    return getattr(import_module(f"cometflux.sources.{_HOMES[name]}"), name)
