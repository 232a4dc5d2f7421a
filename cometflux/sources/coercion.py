"""Whether a file that is named in a cell or an option is an image that can be sent."""

import stat
from pathlib import Path

from cometflux.errors import InputError
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT
from cometflux.images.formats import media_type
from cometflux.images.reference_files import check_regular


def check_image_file(field: str, path: Path) -> None:
    """Look whether *path* is an image that can be sent, before anything is paid.

    Raises:
        InputError: it is no file, too large, or no PNG, JPEG, WebP or GIF.
    """
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            check_regular(field, str(path), found.st_mode)
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(field, str(path), f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, str(path), "this is no name of a file") from error
    if media_type(head) is None:
        raise InputError(field, str(path), "allowed is a PNG, JPEG, WebP or GIF image")
    if found.st_size > LARGEST_IMAGE_INPUT:
        raise InputError(
            field, str(path), f"the file has {found.st_size} bytes, and at most 8 MiB are sent; give a URL instead"
        )
