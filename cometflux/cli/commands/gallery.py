"""A page of the images of a folder."""

from cometflux.cli.options.shared import Folder
from cometflux.cli.terminal.screen import Screen


def gallery(folder: Folder, /) -> None:
    """Make a page of a folder's pictures, and print its path.

    One file, index.html, that needs no network: with the prompt, parameters and
    fate of each job. Also while a batch runs; nothing else is changed.
    """
    from cometflux.cli.batch.keep_gallery import show_gallery

    show_gallery(Screen(), folder)
