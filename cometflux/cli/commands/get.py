"""Print the state of a prediction, for people or as JSON."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import attrs
from rich.table import Table
from rich.text import Text

from cometflux.basics.plain_text import escape_json, plain
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.arguments import BaseUrl, JsonObject, PredictionId, Proxy
from cometflux.cli.options.declare import switch
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen, clip
from cometflux.errors import CometfluxError, ConfigError, InputError
from cometflux.outcomes import verdict
from cometflux.polling import last_response
from cometflux.predictions import Prediction
from cometflux.protocol import encoding


def get(
    prediction_id: PredictionId,
    /,
    *,
    wait: Annotated[bool, switch("Wait until it is over.")] = False,
    json: JsonObject = False,
    base_url: BaseUrl = None,
    proxy: Proxy = None,
) -> int:
    """Print the state of a prediction, by its id.

    Works for every prediction of the account, whichever program submitted it.
    Nothing is submitted, so this is free.
    """
    from cometflux.cli.batch.known_prediction import get_prediction, report

    screen = Screen()
    try:
        prediction = get_prediction(prediction_id, RunOptions(base_url=base_url, proxy=proxy), screen, waits=wait)
    except (ConfigError, InputError):
        raise
    except CometfluxError as error:
        return report(screen, prediction_id, error)
    if json:
        values = attrs.asdict(prediction, recurse=False, filter=lambda field, _: field.name != "extra")
        screen.data(escape_json(encoding.dump_line(values)))
    else:
        make_console().print(_table(prediction))
    if (trouble := _find_trouble(prediction)) is not None:
        screen.error(trouble.message)
        return ExitCode.FAILED
    return ExitCode.OK


def _find_trouble(prediction: Prediction) -> CometfluxError | None:
    """Return why a prediction that is over has no image; None if it has one, or is not over."""
    end = last_response.end_of(prediction)
    if not end.status.is_terminal:
        return None
    age = 0.0 if end.created_at is None else time.time() - end.created_at.timestamp()
    return verdict(end, age)[1]


def _table(prediction: Prediction) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(prediction):
        if value is not None and value != {}:
            shown = value if isinstance(value, str) else encoding.dump_line(value)
            table.add_row(Text(plain(name)), Text(clip(shown, _LONGEST)))
    return table


_LONGEST = 2000
"""An output may be a data URI of megabytes."""


def _rows(prediction: Prediction) -> Iterator[tuple[str, Any]]:
    values = dict(prediction.input)
    yield "id", prediction.id
    yield "status", prediction.status.value
    yield "model", prediction.model
    yield "prompt", values.pop("prompt", None)
    yield from values.items()
    for url in prediction.output:
        yield "output", url
    yield "error", prediction.error
    for name in ("version", "created_at", "started_at", "completed_at", "metrics"):
        moment = getattr(prediction, name)
        yield name.removesuffix("_at"), moment.isoformat() if name.endswith("_at") and moment is not None else moment
