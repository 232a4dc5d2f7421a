"""A page of the images of a folder."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import Folder
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.terminal.screen import Screen


def gallery(
    folder: Folder,
    /,
    *,
    serve: Annotated[
        bool, switch("Serve the page on this machine; marks go to picks.jsonl at once.", group=OPTIONS)
    ] = False,
    port: Annotated[
        int | None,
        valued("P", "With --serve: the port. [default: any free port]", converters.whole(0, 65535), group=OPTIONS),
    ] = None,
    public_url: Annotated[
        str | None,
        Parameter(
            metavar="URL", group=OPTIONS, help="The public https URL of the pictures, which the page loads from there."
        ),
    ] = None,
    sheet: Annotated[bool, switch("Make a contact sheet: PNG pages of captioned thumbnails.", group=OPTIONS)] = False,
    to: Annotated[
        Path | None,
        valued(
            "FILE", "With --sheet: the PNG file. [default: in the folder]", converters.file, name="--to", group=OPTIONS
        ),
    ] = None,
    picks: Annotated[bool, switch("With --sheet: only the pictures with a star.", group=OPTIONS)] = False,
) -> None:
    """Make a page of a folder's pictures, and print its path.

    One file, index.html, that needs no network and shows the prompt, parameters and
    outcome of each job. You can make it while a batch runs.

    With --serve the page is not written to a file, but served until Ctrl-C. Its URL
    is printed, and the marks that you set are saved in picks.jsonl in the folder.

    With --sheet it makes a contact sheet, a picture to print or send: thumbnails
    with their keys, prompts and the parameters that differ.
    """
    if not sheet and (to is not None or picks):
        raise UsageError(f"{'--to' if to is not None else '--picks'} goes with --sheet")
    for name, is_given in (("--serve", serve), ("--port", port is not None), ("--public-url", public_url is not None)):
        if sheet and is_given:
            raise UsageError(f"{name} does not go with --sheet")
    if serve:
        if public_url is not None:
            raise UsageError("--public-url does not go with --serve")
        from cometflux.cli.gallery.serve import serve_gallery

        serve_gallery(Screen(), folder, port or 0)
        return
    if port is not None:
        raise UsageError("--port goes with --serve")
    if sheet:
        from cometflux.cli.gallery.sheet import show_sheet

        show_sheet(Screen(), folder, to, only_picks=picks)
        return
    from cometflux.cli.batch.keep_gallery import show_gallery

    show_gallery(Screen(), folder, public_url)
