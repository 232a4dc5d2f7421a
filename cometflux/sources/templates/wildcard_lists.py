"""Expand the wildcards in the prompts of a source, with the lists of a folder: ``animals.txt`` for ``__animals__``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from cometflux.basics.regular_files import read_regular
from cometflux.models.output_of import map_parts
from cometflux.models.words import closest, question
from cometflux.sources.errors import Fault
from cometflux.sources.formats.text_lines import LINE_END
from cometflux.sources.rows import Entry, Lent, Row, Source
from cometflux.sources.templates.wildcards import Choices, WildcardError, expand

SEED_TAG = "wildcard_seed"
"""The tag of a job whose prompt was expanded: the seed of the choices."""
_LARGEST = 16 * 2**20
"""Bytes of a list at most."""


class ListFolder:
    """The lists of a folder, each read once. A list has a choice on each line; blank lines and ``#`` lines have none.

    Args:
        folder: the folder; None if there are no lists.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read: dict[str, tuple[str, ...]] = {}

    def __call__(self, name: str) -> Sequence[str]:
        """Return the choices of a list. Blocks.

        Raises:
            WildcardError: there is no such list, or it cannot be read or has no choice.
        """
        if name not in self._read:
            self._read[name] = self._lines(name)
        return self._read[name]

    def _lines(self, name: str) -> tuple[str, ...]:
        if self._folder is None:
            raise WildcardError(f"__{name}__ is a list, and no folder of lists is given")
        path = self._folder / f"{name}.txt"
        try:
            text = read_regular(path, _LARGEST, follows_links=True).decode("utf-8-sig")
        except FileNotFoundError:
            raise WildcardError(f"__{name}__: there is no file {str(path)!r}{self._hint(name)}") from None
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise WildcardError(f"__{name}__: {str(path)!r} cannot be read ({words})") from error
        stripped = map(str.strip, LINE_END.split(text))
        lines = tuple(line for line in stripped if line and not line.startswith("#"))
        if not lines:
            raise WildcardError(f"__{name}__: {str(path)!r} has no choice in it")
        return lines

    def _hint(self, name: str) -> str:
        assert self._folder is not None
        names = [path.relative_to(self._folder).with_suffix("").as_posix() for path in self._folder.rglob("*.txt")]
        meant = question(closest(name, sorted(names)), "__{}__".format)
        return f"; {meant}" if meant else ""


@attrs.frozen(kw_only=True)
class Wildcards:
    """How wildcards are expanded."""

    folder: Path | None = None
    """The folder of the lists; None if there are none."""
    seed: int = 0
    """The seed of the choices."""

    def apply(self, source: Source) -> Source:
        """Return the source with expanded prompts. A wildcard that cannot be expanded makes its row a fault."""
        return attrs.evolve(source, rows=self._rows(source))

    def _rows(self, source: Source) -> Iterator[Entry]:
        lists, number = ListFolder(self.folder), 0
        for row in source.rows:
            if not isinstance(row, Row):
                yield row
                continue
            yield self._expanded(row, lists, Choices(seed=self.seed, row=number))
            number += 1

    def _expanded(self, row: Row, lists: ListFolder, choices: Choices) -> Entry:
        before = row.values.get("prompt")
        if isinstance(before, Lent):
            # The prompt of an earlier job, as it was sent.
            return row
        try:
            # Each text, if the prompt is an object.
            after = map_parts(before, lambda part: expand(part, lists, choices) if isinstance(part, str) else part)
        except WildcardError as error:
            return Fault(f"prompt: {error}", row.places.get("prompt", row.line))
        if after == before:
            return row
        tags = {**row.tags, SEED_TAG: str(self.seed)}
        return attrs.evolve(row, values={**row.values, "prompt": after}, tags=tags)
