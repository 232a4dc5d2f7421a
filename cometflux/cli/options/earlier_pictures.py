"""The options that make a batch from the pictures of an earlier folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import OPTIONS

if TYPE_CHECKING:
    from cometflux.sources.folder_pictures import FromPictures


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class EarlierPictures:
    """The pictures that each row is made from."""

    earlier: Annotated[
        Path | None,
        valued(
            "DIR",
            "Combine each row with each picture of DIR, an earlier batch; FILE is optional.",
            converters.folder,
            name="--from",
            show_default=False,
        ),
    ] = None
    picks: Annotated[bool, switch("With --from: use only pictures with a star in picks.jsonl.")] = False

    def folder_for(self, file: str | None) -> Path:
        """Return the folder for the pictures if none is given.

        Raises:
            UsageError: there is neither a prompt file nor a folder of pictures, or no folder to take picks of.
        """
        if self.picks and self.earlier is None:
            raise UsageError("--picks goes with --from DIR, the folder of the pictures")
        if file is not None:
            return Path("stdin-images" if file == "-" else f"{Path(file).stem}-images")
        if self.earlier is None:
            raise UsageError("give a FILE of prompts, or a folder of pictures with --from")
        return Path(f"{self.earlier.absolute().name}-finished")

    def read(self, folder: Path) -> "FromPictures | None":
        """Read the pictures for a batch in *folder*; None if it is made from prompts alone.

        Raises:
            UsageError: the batch would be in the folder of the pictures.
            CometfluxError: as `cometflux.sources.read_pictures`.
        """
        if self.earlier is None:
            return None
        from cometflux.sources.folder_pictures import FromPictures, read_pictures
        from cometflux.storage.destination import is_same_folder

        if is_same_folder(self.earlier, folder):
            raise UsageError(f"--from and --out are both {folder}; give another folder for the new pictures")
        return FromPictures(pictures=read_pictures(self.earlier, only_picks=self.picks), folder=str(self.earlier))
