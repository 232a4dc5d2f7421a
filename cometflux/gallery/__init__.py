"""The gallery: one static page that shows a folder of pictures, with how each was made and what became of each job.

The page needs no network and no server. Making it buys nothing, asks nobody, and changes nothing in the folder but the
page itself. Needs the extra ``gallery``.
"""

from pathlib import Path

from cometflux.gallery.builder import Gallery, Written

__all__ = ["Gallery", "Written", "write_gallery"]


def write_gallery(folder: str | Path) -> Path:
    """Write ``index.html`` into *folder*, and return its path; blocks.

    Shown are the jobs of the folder's journal and the pictures that have a record beside them. What is damaged is
    logged as a warning, and the rest is shown.

    Raises:
        ConfigError: there is nothing to show, the page cannot be written, or the extra ``gallery`` is not installed.
        JournalError: the journal cannot be read, and there is nothing else to show.
    """
    gallery = Gallery(folder)
    written = gallery.write()
    gallery.log(written.notes)
    return written.path
