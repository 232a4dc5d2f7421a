"""Print how a picture was made, for people or as JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text

from cometflux.basics.plain_text import plain
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import JsonObject
from cometflux.cli.options.declare import valued
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen
from cometflux.protocol import encoding
from cometflux.provenance import read


def show(
    picture: Annotated[Path, valued("PICTURE", "A picture that was saved.", converters.picture)],
    /,
    *,
    json: JsonObject = False,
) -> None:
    """Show how a picture was made, from its record."""
    found = read.read_provenance(picture)
    if json:
        values = {**found.record, "is_embedded": found.is_embedded, "is_unchanged": found.is_unchanged}
        Screen().data_json(values)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(found.record):
        table.add_row(Text(plain(name)), Text(_shown(value)))
    where = "in the picture" if found.is_embedded else "next to the picture"
    table.add_row("read from", Text(f"the record {where}{_CHANGES[found.is_unchanged]}"))
    make_console().print(table)


_CHANGES = {
    True: "; the file is as it was saved",
    False: "; the file has been changed since it was saved",
    None: "",
}


def _rows(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    values = dict(record["input"])
    prediction = record["prediction"]
    yield "prompt", values.pop("prompt", None)
    yield "model", record["model"]
    yield from values.items()
    for name in ("id", "version", "created_at", "completed_at", "metrics", "logs"):
        yield (
            f"prediction {name.removesuffix('_at')}" if name == "id" else name.removesuffix("_at"),
            prediction.get(name),
        )
    if record.get("key") is not None:
        yield "key", record["key"]
    if isinstance(sources := record.get("sources"), list):
        yield from (("source", _source(each)) for each in sources if isinstance(each, Mapping))


def _source(image: Mapping[str, Any]) -> str:
    return f"{image.get('image')} is {image.get('file')}, SHA-256 {image.get('sha256')}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return "\n".join(map(plain, value.splitlines()))
    return plain(encoding.dump_line(value))
