"""Print the models and their parameters, for people or as JSON."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from rich.table import Table
from rich.text import Text

from cometflux import flux
from cometflux.account.prices import Catalogue, Prices
from cometflux.account.routes import find_root
from cometflux.basics.plain_text import plain
from cometflux.cli.batch.kept_catalogue import read_kept
from cometflux.cli.config.price_tables import join_prices
from cometflux.cli.config.read_settings import read_configuration, read_price_tables
from cometflux.cli.errors import ConfigurationError
from cometflux.cli.options.arguments import JsonLines
from cometflux.cli.options.known_prices import describe_price
from cometflux.cli.terminal.console import make_wide_console
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError
from cometflux.flux import Parameter
from cometflux.models.docs import about, complete_model, parameter_texts, slug
from cometflux.models.schemas import ModelSchema
from cometflux.session.settings import read_base_url


def models(
    model: Annotated[
        str | None,
        cyclopts.Parameter(
            metavar="MODEL", completer=complete_model, help="The model whose parameters to list, or a schema file."
        ),
    ] = None,
    /,
    *,
    json: JsonLines = False,
) -> None:
    """List the models, or the parameters of one.

    Prices are estimates: from [prices] in your configuration, else from the public
    catalogue as the last run cached it. Nothing is fetched.
    """
    if model is None:
        show_models(as_json=json)
    else:
        show_model(model, as_json=json)


def show_models(*, as_json: bool) -> None:
    """Print the models."""
    prices, note = _kept_prices()
    if as_json:
        _print_json({**_describe(model), **describe_price(prices.get(name))} for name, model in flux.MODELS.items())
        return
    table = _table("model", "class", "parameters", "reference", "images", "price")
    for model in flux.MODELS.values():
        told = _describe(model)
        names, most = told["parameters"], told["most_outputs"]
        images = "1" if most == 1 else f"1 to {most}"
        price = prices.get(model.model)
        cost = "-" if price is None else price.dollars.removesuffix(" a request")
        table.add_row(told["slug"], f"flux.{told['class']}", str(len(names)), told["image"] or "-", images, cost)
    console = make_wide_console()
    console.print(table)
    console.print(Text("\n".join(["", _told_bases(prices), *note])))


def show_model(name: str, *, as_json: bool) -> None:
    """Print the parameters of one model, or of the model whose schema is in the file *name*.

    Raises:
        InputError: no model has this name.
        ConfigError: the file is not the schema of a model.
    """
    model = _read_schema(name) if name.endswith(".json") else flux.find(name)
    texts = parameter_texts(model)
    if as_json:
        _print_json(_describe_parameter(each, texts) for each in flux.parameters(model))
        return
    console = make_wide_console()
    named = "" if isinstance(model, ModelSchema) else f"\n{model.model}, flux.{model.__name__}"
    console.print(Text(f"{plain(about(model))}{named}\n{_told(_kept_prices()[0], model.model)}\n"))
    table = _table("parameter", "takes", "default", "what it does")
    for each in flux.parameters(model):
        cells = each.name, each.kind.summary, _default(each), " ".join(texts.get(each.name, "").split())
        table.add_row(*(Text(plain(cell)) for cell in cells))
    console.print(table)


def _kept_prices() -> tuple[Prices, list[str]]:
    """Return the prices that are known without the network, and a line if a configuration cannot be read."""
    try:
        values, tables = read_configuration(), read_price_tables()
    except (ConfigurationError, ConfigError) as error:
        # The models are the same in any case.
        return Prices(), [f"your own prices are left out: {plain(str(error))}"]
    found = None
    with contextlib.suppress(ConfigError):
        root = find_root(read_base_url(values["base_url"].value))
        found = None if root is None else read_kept(root, time.time())
    return join_prices({}, tables, found or Catalogue()).prices, []


def _told_bases(prices: Prices) -> str:
    """Say where the prices of the table come from, and for which models no price is known."""
    bases = Counter(str(prices[model].basis) for model in flux.MODELS if model in prices)
    if not bases:
        return "no price known: a run, and --dry-run, fetch the catalogue of prices"
    ((usual, _),) = bases.most_common(1)
    others = [
        f"{slug(model)} {prices[model].basis if model in prices else 'no price known'}"
        for model in flux.MODELS
        if model not in prices or str(prices[model].basis) != usual
    ]
    return f"prices are estimates for a request, basis: {'; '.join([usual, *others])}"


def _told(prices: Prices, model: str) -> str:
    price = prices.get(model)
    return "no price known" if price is None else str(price)


def _read_schema(file: str) -> ModelSchema:
    from cometflux.sources.schema_files import read_schema_file

    path = Path(file)
    schema = read_schema_file(path, path.stem.replace("_", "/", 1))
    for note in schema.notes:
        Screen().say(f"note: {note}")
    return schema


def _describe(model: type[flux.Flux]) -> dict[str, Any]:
    known = {each.name: each for each in flux.parameters(model)}
    image = next((each.name for each in known.values() if each.kind.most_images), None)
    most = known["num_outputs"].maximum if "num_outputs" in known else 1
    return {
        "model": model.model,
        "slug": slug(model.model),
        "class": model.__name__,
        "parameters": list(known),
        "image": image,
        "most_outputs": most,
    }


def _describe_parameter(parameter: Parameter, texts: dict[str, str]) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "type": parameter.kind.name,
        "required": parameter.required,
        "default": list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default,
        "choices": list(parameter.choices) or None,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "most": parameter.most,
        "help": texts.get(parameter.name, ""),
    }


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    match parameter.default:
        case None | ():
            return ""
        case bool(value):
            return str(value).lower()
        case value:
            return str(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(
            name,
            # On a terminal, the texts need more room than the choices.
            max_width=24 if name == "takes" and sys.stdout.isatty() else None,
            no_wrap=number == 0,
            overflow="fold",
            justify="right" if name == "parameters" else "left",
        )
    return table


def _print_json(records: Iterator[dict[str, Any]]) -> None:
    screen = Screen()
    for each in records:
        screen.data_json(each)
