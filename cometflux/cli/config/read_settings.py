"""Read the settings: from the environment, else the project's file, else the user's file, else the default.

A project's file belongs to a folder that somebody else may have made. So it must not set which server receives the key
how often a failed job is charged again, or what signs the pictures, and it can only lower the user's limits.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.basics.regular_files import IrregularFileError, open_regular
from cometflux.cli.config.files import project_file, shown, user_file
from cometflux.cli.config.price_tables import TABLE, PriceTables, fault_of, read_table
from cometflux.cli.errors import ConfigurationError
from cometflux.cli.options.known_prices import short_name
from cometflux.cli.options.names import option_of
from cometflux.cli.options.shared import CONFIRM_ABOVE, MAX_PENDING, MODEL
from cometflux.errors import ConfigError, InputError
from cometflux.models.words import closest, question
from cometflux.number_checks import LARGEST_WHOLE, is_whole, whole_phrase
from cometflux.sources.errors import Fault
from cometflux.sources.rows import Most

_LARGEST = 2**16
"""Most bytes of a file. The time to parse TOML grows with the square of its size."""
_PREFIX = "COMETFLUX_"
_KEY_NAMES = re.compile(r"(?i)(.*_)?(api_?key|key|token|secret|password)")
_KEY_VALUE = re.compile(r"(?i)(bearer\b|sk-)")


@attrs.frozen(kw_only=True)
class Setting:
    """A setting of the configuration."""

    name: str
    """Its name in the files; the names of the option and the variable follow from it."""
    check: Callable[[str, Any], str | None]
    """Called with the name and the value; returns the fault of the value, or None."""
    default: Any = None
    is_whole: bool = False
    is_cap: bool = False
    """Whether a project's file can only lower it."""
    is_own: bool = False
    """Whether a project's file must not set it."""

    @property
    def option(self) -> str:
        """The name of the option."""
        return option_of(self.name)

    @property
    def variable(self) -> str:
        """The name of the variable."""
        return f"{_PREFIX}{self.name.upper()}"


@attrs.frozen(kw_only=True)
class SettingValue:
    """The value of a setting, and its source."""

    setting: Setting
    value: Any
    source: str
    """One of ``environment``, ``project``, ``user`` and ``default``."""
    place: str = ""
    """The variable, or the file and the line; empty for a default."""
    note: str = ""
    """Says which value was ignored and why; usually empty."""


def _whole(least: int) -> Callable[[str, Any], str | None]:
    allowed = f"must be {whole_phrase(least, LARGEST_WHOLE)}"

    def check(name: str, value: Any) -> str | None:
        return None if is_whole(value, least, LARGEST_WHOLE) else _refusal(name, value, allowed)

    return check


def _model(name: str, value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return _refusal(name, value, "must be the name of a model, in quotes")
    try:
        flux.find(value)
    except InputError as error:
        return None if re.fullmatch(r"[^/\s]+/[^/\s]+", value) else _refusal(name, value, error.allowed)
    return None


def _url(read: str) -> Callable[[str, Any], str | None]:
    def check(name: str, value: Any) -> str | None:
        from cometflux.session import settings

        if not isinstance(value, str) or not value.strip():
            return f"{name}: must be a URL, in quotes"
        try:
            getattr(settings, read)(value)
        except ConfigError as error:
            # Show the error's message, not the URL, which may contain a password.
            return error.message
        return None

    return check


def _path(name: str, value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else f"{name}: must be the path of a file, in quotes"


def _text(name: str, value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else f"{name}: must be a URL, in quotes"


def _refusal(name: str, value: Any, allowed: str) -> str:
    return f"{name}: {_brief(value)} was given; {allowed}"


SETTINGS = (
    Setting(name="model", check=_model, default=MODEL),
    Setting(name="limit", check=_whole(0), is_whole=True, is_cap=True),
    Setting(name="retry_failed", check=_whole(0), default=0, is_whole=True, is_own=True),
    Setting(name="max_pending", check=_whole(1), default=MAX_PENDING, is_whole=True),
    Setting(name="creates_per_minute", check=_whole(1), is_whole=True),
    Setting(name="polls_per_minute", check=_whole(1), is_whole=True),
    Setting(name="confirm_above", check=_whole(0), default=CONFIRM_ABOVE, is_whole=True, is_cap=True),
    Setting(name="max_jobs", check=_whole(1), default=Most().jobs, is_whole=True, is_cap=True),
    Setting(name="base_url", check=_url("read_base_url"), is_own=True),
    Setting(name="proxy", check=_url("read_proxy"), is_own=True),
    Setting(name="sign", check=_path, is_own=True),
    Setting(name="sign_key", check=_path, is_own=True),
    Setting(name="sign_timestamp", check=_text, is_own=True),
)
_BY_NAME = {each.name: each for each in SETTINGS}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class _Found:
    value: Any
    place: str


def read_configuration() -> dict[str, SettingValue]:
    """Return the value of every setting, before any options.

    Raises:
        ConfigurationError: a file or a variable is wrong; it lists all faults.
        MissingExtraError: as for `user_file`.
    """
    users, projects = _read_files()
    given = _read_environment()
    return {each.name: _settle(each, given, projects, users) for each in SETTINGS}


def read_price_tables() -> PriceTables:
    """Return the tables of prices.

    Raises:
        ConfigurationError, MissingExtraError: as for `read_configuration`.
    """
    user, project = (found.get(TABLE, _Found({}, "")) for found in _read_files())
    return PriceTables(
        user=read_table(user.value),
        user_place=user.place,
        project=read_table(project.value),
        project_place=project.place.partition(", line")[0],
    )


def _read_files() -> tuple[dict[str, _Found], dict[str, _Found]]:
    """Read the user's file and the project's."""
    project, user = project_file(), user_file()
    users = _read_file(user, is_project=False) if user else {}
    return users, _read_file(project, is_project=True) if project else {}


def _settle(
    setting: Setting, given: Mapping[str, _Found], projects: Mapping[str, _Found], users: Mapping[str, _Found]
) -> SettingValue:
    name = setting.name
    if (found := given.get(name)) is not None:
        return SettingValue(setting=setting, value=found.value, source="environment", place=found.place)
    project, user = projects.get(name), users.get(name)
    own = setting.default if user is None else user.value
    if project is not None and (not setting.is_cap or own is None or project.value <= own):
        return SettingValue(setting=setting, value=project.value, source="project", place=project.place)
    note = f"{project.place} says {project.value}, and may only lower it" if project else ""
    if user is not None:
        return SettingValue(setting=setting, value=user.value, source="user", place=user.place, note=note)
    return SettingValue(setting=setting, value=setting.default, source="default", note=note)


def _read_environment() -> dict[str, _Found]:
    found = {}
    for setting in SETTINGS:
        # A blank variable counts as unset, as in all of cometflux.
        if (text := os.environ.get(setting.variable, "").strip()) and setting.name != "base_url":
            value = _number(text) if setting.is_whole else text
            if wrong := setting.check(setting.name, value):
                raise ConfigurationError([Fault(wrong)], setting.variable)
            found[setting.name] = _Found(value, setting.variable)
    if text := os.environ.get(_BY_NAME["base_url"].variable, "").strip():
        # The commands that use it check it; with --local it is not used.
        found["base_url"] = _Found(text, _BY_NAME["base_url"].variable)
    _check_spelling()
    return found


def _check_spelling() -> None:
    """Raise if a ``COMETFLUX_`` variable looks misspelt, because a misspelt limit would be ignored."""
    known = [each.variable for each in SETTINGS]
    for name in os.environ:
        if name.startswith(_PREFIX) and name not in known and os.environ[name].strip():
            if _KEY_NAMES.fullmatch(name.removeprefix(_PREFIX)):
                raise ConfigurationError(f"{name} is not read; the key is read from {_own_variable(name)}")
            if meant := question(closest(name, known, cutoff=0.8), str):
                raise ConfigurationError(f"{name} is not a setting; {meant}")


def _own_variable(name: str) -> str:
    """Return the variable for the secret that *name* means."""
    return "COMETAPI_ACCESS_TOKEN" if "access" in name.casefold() else "COMETAPI_KEY"


def _number(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _read_file(path: Path, *, is_project: bool) -> dict[str, _Found]:
    name = shown(path)
    text = _read_text(path, name)
    if text is None:
        return {}
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_toml_fault(str(error))], name) from error
    except ValueError as error:
        # Python raises for a number of more than a few thousand digits.
        raise ConfigurationError("a number in it is too long", name) from error
    except RecursionError as error:
        raise ConfigurationError("it is nested too deeply", name) from error
    faults = [Fault(fault, _line_of(text, key)) for key, value in values.items() if (fault := _fault(key, value))]
    if is_project:
        faults += [Fault(_not_here(key), _line_of(text, key)) for key in values if _is_own(key)]
    if faults:
        raise ConfigurationError(sorted(faults, key=lambda fault: fault.line or 0), name)
    return {key: _Found(value, _place(name, _line_of(text, key))) for key, value in values.items()}


def _read_text(path: Path, name: str) -> str | None:
    """Return the text of a file; None if it does not exist."""
    try:
        with open_regular(path, follows_links=True) as file:
            data = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise ConfigurationError("this link leads nowhere", name) from None
        return None
    except (IrregularFileError, IsADirectoryError) as error:
        raise ConfigurationError("this is not a file; move it away", name) from error
    except OSError as error:
        raise ConfigurationError(f"it cannot be read ({error.strerror})", name) from error
    if len(data) > _LARGEST:
        raise ConfigurationError("it is larger than 64 KiB, so it is not a configuration file", name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigurationError(
            [Fault(f"byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8", line)], name
        ) from error


_AT = re.compile(r"\s*\(at line (\d+), column \d+\)|\s*\(at end of document\)")


def _toml_fault(message: str) -> Fault:
    at = _AT.search(message)
    reason = _AT.sub("", message)
    return Fault(
        f'this is not TOML: {reason[:1].lower()}{reason[1:]}; write it as in: model = "flux-dev"', _as_line(at)
    )


def _as_line(at: "re.Match[str] | None") -> int | None:
    return int(at[1]) if at and at[1] else None


def _fault(key: str, value: Any) -> str | None:
    if key == TABLE:
        return fault_of(value)
    setting = _BY_NAME.get(key)
    if setting is None:
        if _KEY_NAMES.fullmatch(key):
            variable = _own_variable(key)
            return f"{key!r}: a key does not belong in a file; set {variable} in the environment, and delete it here"
        return f"{key!r} is not a setting; {_meant(key)}"
    # A key that was put here by mistake must not be shown.
    if isinstance(value, str) and _KEY_VALUE.match(value):
        return f"{key}: this looks like an API key; set COMETAPI_KEY in the environment, and delete it here"
    return setting.check(key, value)


def _meant(key: str) -> str:
    names = [*_BY_NAME, TABLE]
    return question(closest(key.replace("-", "_"), names), str) or f"there are {', '.join(names)}"


def _brief(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > 10**60:
        return "a number of many digits"
    text = repr(value) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_own(key: str) -> bool:
    return key in _BY_NAME and _BY_NAME[key].is_own


_OWN = {"retry_failed": "what is bought again", "base_url": "where your key goes", "proxy": "where your key goes"}


def _not_here(key: str) -> str:
    setting = _BY_NAME[key]
    own = user_file()
    why = _OWN.get(key, "what signs your pictures")
    return (
        f"{key} is not for a project's file, which must not say {why}; "
        f"put it in {shown(own) if own else 'your own file'}, or use {setting.variable} or {setting.option}"
    )


def _line_of(text: str, key: str) -> int | None:
    found = re.search(rf"""(?m)^[ \t]*\[?[ \t]*["']?{re.escape(key)}["']?[ \t]*[=.\]]""", text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}, line {line}"


def notes(values: Mapping[str, SettingValue], tables: PriceTables | None = None) -> Iterator[str]:
    """Yield notes on the project's settings and on the ignored ones, because somebody else may have made the file."""
    said = [f"{each.setting.name} = {each.value}" for each in values.values() if each.source == "project"]
    if said:
        place = next(each.place for each in values.values() if each.source == "project").partition(", line")[0]
        yield f"{place} sets {', '.join(said)}"
    if tables is not None and tables.project:
        prices = ", ".join(f"{short_name(model)} {price.dollars}" for model, price in tables.project.items())
        yield f"{tables.project_place} sets prices: {prices}"
    for each in values.values():
        if each.note:
            yield f"{each.setting.name} stays {'without' if each.value is None else each.value}: {each.note}"
