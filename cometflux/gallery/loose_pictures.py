"""The pictures of a folder that its journal does not know, by the records next to them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from cometflux.gallery.cards import Card, card_of_picture, card_of_sidecars
from cometflux.gallery.folder_scan import DamagedFile, FolderScan, Sidecar
from cometflux.journal.reader import Journal
from cometflux.provenance.sidecar import prediction_id_in

_ABSENT = object()


@attrs.define
class _Group:
    """The pictures of one prediction."""

    identity: str
    index: int | None
    names: list[str]
    records: list[str]
    """The files of their records; empty if the record is damaged."""


class LoosePictures:
    """The predictions of a folder that its journal does not know, in batch order.

    Args:
        scan: the folder.
        journal: its journal; None if it has none that can be read.
        first: the input of the journal's first job; None if there is no job.
    """

    def __init__(
        self, scan: FolderScan, journal: Journal | None = None, first: Mapping[str, Any] | None = None
    ) -> None:
        self._scan = scan
        self._first = first
        self.differing: dict[str, None] = {}
        """The names of the parameters that differ among these pictures and the first job."""
        self.notes: list[str] = []
        """One sentence for each damaged record."""
        groups = sorted(self._groups(journal), key=_order)
        self._groups_by_names = {tuple(group.names): group for group in groups}
        self._keys = list(self._groups_by_names)

    def __len__(self) -> int:
        return len(self._keys)

    def versions(self, start: int, stop: int) -> dict[Hashable, Hashable]:
        """See `Source.versions`."""
        return dict.fromkeys(self._keys[start:stop])

    def cards(self, keys: Iterable[Hashable]) -> Iterator[tuple[Hashable, Card]]:
        """See `Source.cards`."""
        for key in keys:
            if isinstance(key, tuple):
                yield key, self._card(self._groups_by_names[key])

    def names(self) -> Iterator[str]:
        """See `Source.names`."""
        return (name for key in self._keys for name in key)

    def _card(self, group: _Group) -> Card:
        pictures = [self._scan.picture(name) for name in group.names]
        found = [self._scan.record(name) for name in group.records]
        records = [each.record for each in found if isinstance(each, Sidecar)]
        # A record may have been damaged since it was read first.
        return card_of_sidecars(records, pictures, group.identity) if records else card_of_picture(pictures[0])

    def _groups(self, journal: Journal | None) -> Iterable[_Group]:
        candidates = {name for name in self._scan.files if name.endswith(".json")}
        if journal is not None:
            for name in journal.file_names():
                candidates.discard(f"{name.rpartition('.')[0]}.json")
        ids = journal.prediction_ids() if journal and candidates else ()
        groups: dict[str, _Group] = {}
        for name in sorted(candidates):
            match self._scan.record(name):
                case DamagedFile() as damaged:
                    self.notes.append(self._told(damaged))
                    groups[f"damaged:{name}"] = _Group("", None, [damaged.name], [])
                case Sidecar() as sidecar if prediction_id_in(sidecar.record) not in ids:
                    group = _group_of(name, sidecar)
                    self._compare(sidecar.record)
                    known = groups.setdefault(group.identity, group)
                    if known is not group:
                        known.names += group.names
                        known.records += group.records
        return groups.values()

    def _told(self, damaged: DamagedFile) -> str:
        fault = self._scan.picture(damaged.name).fault
        how = "is shown without its details" if fault is None else f"cannot be shown either ({fault})"
        return f"{damaged.sidecar} {damaged.fault}: {damaged.name} {how}"

    def _compare(self, record: Mapping[str, Any]) -> None:
        """Note the parameters that are not as those of the first job."""
        given = record.get("input")
        given = given if isinstance(given, dict) else {}
        if self._first is None:
            self._first = given
        for name in {**self._first, **given}:
            if self._first.get(name, _ABSENT) != given.get(name, _ABSENT):
                self.differing[name] = None


def _group_of(name: str, sidecar: Sidecar) -> _Group:
    prediction_id = prediction_id_in(sidecar.record)
    index = sidecar.record.get("index")
    # Without an id, two pictures cannot be known to belong to one prediction.
    identity = f"file:{sidecar.name}" if prediction_id is None else f"id:{prediction_id}"
    return _Group(identity, index if type(index) is int else None, [sidecar.name], [name])


def _order(group: _Group) -> tuple[bool, int, str]:
    return group.index is None, group.index or 0, group.names[0]
