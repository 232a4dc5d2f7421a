"""The forms in which pictures are handed on; each writes into an empty folder."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import ConfigError, needs_extra
from cometflux.export.pictures import Picture

SHARD = 500_000_000
_ROWS = 64
"""Pictures in one row group of a Parquet file."""
_TYPES = {"bool": "bool", "int": "int64", "float": "float64", "str": "string"}


@attrs.frozen(kw_only=True)
class Settings:
    """How pictures are written."""

    links: bool = False
    """Whether a picture is linked and not copied; both folders are then on one file system."""
    shard_bytes: int = SHARD
    """The most bytes of pictures in one shard of WebDataset."""
    paths_only: bool = False
    """Whether a Parquet file has the paths of the pictures in place of their bytes."""


Form = Callable[[Sequence[Picture], Path, Settings], None]


def write_imagefolder(pictures: Sequence[Picture], to: Path, settings: Settings) -> None:
    """Write the pictures, and ``metadata.jsonl`` with their columns, as ``load_dataset("imagefolder")`` reads them."""
    with (to / "metadata.jsonl").open("x", encoding="utf-8", newline="\n") as file:
        for picture, name in _placed(((each, each.name) for each in pictures), to, settings):
            row = {"file_name": name, "text": picture.text, **picture.fields}
            file.write(f"{_dump(row)}\n")


def write_captions(pictures: Sequence[Picture], to: Path, settings: Settings) -> None:
    """Write the pictures, and next to each its caption as a text file, as trainers of LoRAs read them."""
    stems = _Stems()
    named = ((each, f"{stems.of(each.stem)}{each.path.suffix}") for each in pictures)
    for picture, name in _placed(named, to, settings):
        (to / name).with_suffix(".txt").write_text(f"{picture.text}\n", encoding="utf-8", newline="\n")


def write_webdataset(pictures: Sequence[Picture], to: Path, settings: Settings) -> None:
    """Write tar files of at most so many bytes; a sample is a picture, its caption and its columns."""
    stems = _Stems()
    for number, shard in enumerate(_shards(pictures, settings.shard_bytes)):
        with tarfile.open(to / f"{number:06}.tar", "x", format=tarfile.PAX_FORMAT) as tar:
            for picture in shard:
                # A name ends at its first dot for those who read it.
                stem = stems.of(picture.stem.replace(".", "_"))
                columns = _dump({**picture.fields, "file_name": picture.name})
                for ending, data in (
                    (picture.path.suffix, picture.path.read_bytes()),
                    (".txt", picture.text.encode()),
                    (".json", columns.encode()),
                ):
                    member = tarfile.TarInfo(f"{stem}{ending}")
                    member.size, member.mode = len(data), 0o644
                    tar.addfile(member, io.BytesIO(data))


class _Stems:
    """Names the pictures, no two alike: readers take files that differ only in their endings for one picture."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, stem: str) -> str:
        """Return *stem*, with a number after it if it is taken."""
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        return name


def _shards(pictures: Iterable[Picture], most: int) -> Iterator[list[Picture]]:
    shard: list[Picture] = []
    size = 0
    for picture in pictures:
        bytes_ = picture.path.stat().st_size
        if shard and size + bytes_ > most:
            yield shard
            shard, size = [], 0
        shard.append(picture)
        size += bytes_
    if shard:
        yield shard


def write_parquet(pictures: Sequence[Picture], to: Path, settings: Settings) -> None:
    """Write ``pictures.parquet``: the column ``image`` as datasets knows it, the caption, and the other columns."""
    with needs_extra("Parquet files", "parquet", "pyarrow"):
        import pyarrow
        from pyarrow import parquet
    types = {name: _arrow_type(pictures, name) for name in (pictures[0].fields if pictures else ())}
    image = pyarrow.string() if settings.paths_only else pyarrow.struct({"bytes": "binary", "path": "string"})
    schema = pyarrow.schema(
        [("image", image), ("text", pyarrow.string()), *((name, kind) for name, kind in types.items())],
        metadata=None if settings.paths_only else {"huggingface": _dump({"info": {"features": _features(types)}})},
    )
    with parquet.ParquetWriter(to / "pictures.parquet", schema, compression="zstd") as writer:
        for start in range(0, len(pictures), _ROWS):
            rows = [_parquet_row(each, is_path=settings.paths_only) for each in pictures[start : start + _ROWS]]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _parquet_row(picture: Picture, *, is_path: bool) -> dict[str, Any]:
    path = picture.path
    image: Any = str(path.absolute()) if is_path else {"bytes": path.read_bytes(), "path": picture.name}
    return {"image": image, "text": picture.text, **picture.fields}


def _arrow_type(pictures: Sequence[Picture], name: str) -> str:
    found = {type(value).__name__ for picture in pictures if (value := picture.fields[name]) is not None}
    return _TYPES[found.pop()] if found else "string"


def _features(types: Mapping[str, str]) -> dict[str, Any]:
    columns = {name: {"dtype": kind, "_type": "Value"} for name, kind in {"text": "string", **types}.items()}
    return {"image": {"_type": "Image"}, **columns}


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _placed(named: Iterable[tuple[Picture, str]], to: Path, settings: Settings) -> Iterator[tuple[Picture, str]]:
    """Put each picture into the folder under its name there; yield both."""
    for picture, name in named:
        try:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            if settings.links:
                os.link(picture.path, to / name)
            else:
                shutil.copyfile(picture.path, to / name)
        except OSError as error:
            how = "linked; leave --link out to copy it" if settings.links else "copied"
            raise ConfigError(f"{picture.name} cannot be {how}: {error.strerror or error}") from error
        yield picture, name


def _dump(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


FORMS: Mapping[str, Form] = {
    "imagefolder": write_imagefolder,
    "captions": write_captions,
    "webdataset": write_webdataset,
    "parquet": write_parquet,
}
