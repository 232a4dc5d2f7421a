"""The gallery: one static page that shows a folder's pictures, how each was made, and how each job ended.

The page needs no network and no server. Making it sends no request, costs nothing, and changes only the page itself.
Needs the extra ``gallery``.
"""

from pathlib import Path

from cometflux.gallery.builder import Gallery, Written
from cometflux.gallery.contact_sheet import ContactSheet, write_sheet

__all__ = ["ContactSheet", "Gallery", "Written", "write_gallery", "write_sheet"]


def write_gallery(folder: str | Path, *, public_url: str | None = None) -> Path:
    """Write ``index.html`` into *folder*, and return its path. Blocks.

    The page shows the jobs of the folder's journal and the pictures that have a JSON record next to them. Damaged
    records are logged as warnings and left out.

    Args:
        folder: the folder.
        public_url: an https URL at which the pictures in an object store are public, such as
            ``https://images.example.org/boats``. The page loads them from there; without it, the page only names them.

    Raises:
        ConfigError: there is nothing to show, the page cannot be written, or the extra ``gallery`` is not installed.
        JournalError: the journal cannot be read, and there is nothing else to show.
    """
    gallery = Gallery(folder, public_url)
    written = gallery.write()
    gallery.log(written.notes)
    return written.path
