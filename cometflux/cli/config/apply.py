"""Fill in the options that were not given from the configuration."""

from typing import Any

from cyclopts import App, ArgumentCollection, Token

from cometflux.cli.options.names import SETTING_NAMES, option_of
from cometflux.cli.terminal.screen import Screen, Verbosity

_ADDRESSES = ("base_url", "proxy")


def fill(_: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give each missing option its value from the configuration, and print notes on the project's file.

    Raises:
        ConfigurationError: the configuration is wrong.
    """
    # `each.name` would also work out the other names of the option, each time.
    by_option = {next(iter(each.parameter.name)): each for each in arguments if each.parameter.name}
    if by_option.keys().isdisjoint(map(option_of, SETTING_NAMES)):
        return
    # Imported here, so that the commands without a setting stay fast.
    from cometflux.cli.config.read_settings import notes, read_configuration, read_price_tables

    is_local = _is_given(by_option, "--local")
    used = {}
    for name, found in read_configuration().items():
        argument = by_option.get(found.setting.option)
        if argument is None or argument.has_tokens or (is_local and name in _ADDRESSES):
            continue
        used[name] = found
        # COMETFLUX_BASE_URL is read later, and only by the commands that need it.
        if (
            found.value is not None
            and found.source != "default"
            and not (found.place == found.setting.variable == _URL)
        ):
            argument.append(Token(keyword=found.place, value=str(found.value), source=found.place))
    screen = Screen(Verbosity(is_quiet=_is_given(by_option, "--quiet"), is_log=_is_given(by_option, "--log-json")))
    tables = read_price_tables() if "--price" in by_option else None
    for note in notes(used, tables):
        screen.say(f"note: {note}")


_URL = "COMETFLUX_BASE_URL"


def _is_given(by_option: dict[str, Any], name: str) -> bool:
    return name in by_option and by_option[name].has_tokens
