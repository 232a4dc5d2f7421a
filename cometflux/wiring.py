"""The composition root: key, base URL, transport and defaults become a session.

An explicit argument wins over the environment, and that over the default; a blank value counts as none.
``COMETAPI_BASE_URL`` is not read: other tools set it to the address of another API.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cometflux.addresses import is_address
from cometflux.errors import ConfigError
from cometflux.events import Observer
from cometflux.journal import Account, JournalWriter
from cometflux.polling import PollPolicy
from cometflux.retry import RetryPolicy
from cometflux.session import Session
from cometflux.submission import OnUnknown
from cometflux.transport import LARGEST_OUTPUT, AiohttpTransport

DEFAULT_BASE_URL = "https://api.cometapi.com/replicate/v1"
_KEY_NAMES = ("COMETAPI_KEY", "COMETAPI_API_KEY")
_BASE_URL_NAME = "COMETFLUX_BASE_URL"


def open_session(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    max_pending: int = 64,
    poll_policy: PollPolicy | None = None,
    retry_policy: RetryPolicy | None = None,
    creates_per_minute: float | None = None,
    polls_per_minute: float | None = None,
    journal: str | Path | JournalWriter | None = None,
    new_key: bool = False,
    on_event: Observer | None = None,
    on_unknown: OnUnknown = "hold",
    max_resends: int | None = None,
    max_predictions: int | None = None,
    retry_failed: int = 0,
    embed: bool = False,
    proxy: str | None = None,
    ssl: Any = None,
    largest_output: int = LARGEST_OUTPUT,
) -> Session:
    """Make a session with CometAPI; enter it with ``async with``.

    Args:
        api_key: the key; else ``COMETAPI_KEY``, then ``COMETAPI_API_KEY`` from the environment.
        base_url: where the API is; else ``COMETFLUX_BASE_URL``, then ``https://api.cometapi.com/replicate/v1``.
        max_pending: how many predictions may be under way at once.
        poll_policy: how often to ask after each, and for how long.
        retry_policy: how to repeat what is free of risk.
        creates_per_minute: how many submissions may leave within a minute; None to learn it from what is refused.
        polls_per_minute: how many questions may leave within a minute; None to learn it.
        journal: a file, or a folder to hold it, in which every step is written down before the next one is taken;
            the same jobs handed over again, by this process or a later one, go on from where they stand and are not
            bought twice. None to keep what is pending in memory only.
        new_key: whether a journal that was begun with another key is taken over with this one.
        on_event: called on the loop with each event of `cometflux.events`; `telemetry.spans` makes spans of them.
        on_unknown: what to do about a submission of unknown fate; see `Session`.
        max_resends: how many of those may be sent again; needed with ``on_unknown="resend"``.
        max_predictions: how many predictions may be bought altogether, those in the journal included.
        retry_failed: how often to buy a job again whose prediction failed for a passing reason.
        embed: whether each image that is saved is to hold the record of how it was made itself; needs the extra
            ``images``.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        ssl: an ``ssl.SSLContext`` that knows your certificates; None for the usual ones.
        largest_output: the most bytes read of one output; a larger one is not saved.

    Raises:
        ConfigError: there is no key, a setting is unusable, or *embed* lacks its extra.
    """
    key = read_key(api_key)
    base = read_base_url(base_url)
    proxy = read_proxy(proxy)
    if isinstance(largest_output, bool) or not isinstance(largest_output, int) or largest_output < 1:
        raise ConfigError(f"largest_output={largest_output!r}: allowed is a whole number from 1")
    if not isinstance(new_key, bool):
        raise ConfigError(f"new_key={new_key!r}: allowed is True or False")
    if journal is not None and not isinstance(journal, JournalWriter):
        journal = JournalWriter(journal, Account(base_url=base, key=key, may_change_key=new_key))
    return Session(
        AiohttpTransport(key, base, proxy=proxy, ssl=ssl, largest_output=largest_output),
        max_pending=max_pending,
        poll_policy=poll_policy,
        retry_policy=retry_policy,
        creates_per_minute=creates_per_minute,
        polls_per_minute=polls_per_minute,
        journal=journal,
        on_event=on_event,
        on_unknown=on_unknown,
        max_resends=max_resends,
        max_predictions=max_predictions,
        retry_failed=retry_failed,
        embed=embed,
    )


def read_key(given: str | None = None) -> str:
    """Find the key, and refuse one that cannot be meant. No message shows it.

    Raises:
        ConfigError: there is none, or it cannot be sent.
    """
    key = _first("api_key", given, *_KEY_NAMES)
    if key is None:
        raise ConfigError(
            "there is no API key: set COMETAPI_KEY, or pass api_key; "
            "to try it without a key, run the command with --local"
        )
    if key.lower().startswith("bearer"):
        raise ConfigError("the API key begins with the word Bearer; give the key alone")
    if re.search(r"\s", key):
        raise ConfigError("the API key holds white space or a line break; it was probably copied with something else")
    if odd := re.search(_NO_KEY_CHARACTER, key):
        hint = "; give it without quotes" if odd[0] in "\"'`" else ""
        raise ConfigError(f"the API key holds {odd[0]!a}, a character that no key has{hint}")
    return key


# What a token may hold by RFC 6750; anything else is a placeholder, a quote, or a second key.
_NO_KEY_CHARACTER = r"[^A-Za-z0-9._~+/=-]"


def read_base_url(given: str | None = None) -> str:
    """Find the base URL, without a slash at its end.

    Raises:
        ConfigError: it is not http(s), or leads to another API.
    """
    base = (_first("base_url", given, _BASE_URL_NAME) or DEFAULT_BASE_URL).rstrip("/")
    parts = _check_http_url("base_url", base)
    if "?" in base or "#" in base:
        # What follows may be a key.
        raise ConfigError(f"base_url={re.split('[?#]', base)[0]!r}…: allowed is no query and no fragment")
    host = parts.hostname or ""
    is_comet = host == "cometapi.com" or host.endswith(".cometapi.com")
    if is_comet and (parts.path != "/replicate/v1" or parts.scheme != "https"):
        raise ConfigError(f"base_url={base!r} leads to another API; the Replicate-format routes are {DEFAULT_BASE_URL}")
    if re.search(_OTHER_API, parts.path):
        raise ConfigError(f"base_url={base!r} ends as another API does; it should end as {DEFAULT_BASE_URL} does")
    return base


def read_proxy(given: str | None) -> str | None:
    """Look whether a proxy can be meant; None stands for a direct connection.

    Raises:
        ConfigError: it is not http(s).
    """
    if given is not None:
        _check_http_url("proxy", given)
    return given


_HOST = r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?"
_PATH = r"(/(?!\.{1,2}(/|\Z))([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
# Where other APIs of such gateways begin, and routes that stand behind a base URL.
_OTHER_API = (
    r"/(openai/v1|flux/v1|gemini/v1|v1beta|mj"
    r"|chat|completions|embeddings|generations|images|messages|models|predictions|responses|videos)$"
)


def _check_http_url(name: str, url: str) -> SplitResult:
    if not isinstance(url, str):
        raise ConfigError(f"{name}: a value of type {type(url).__name__} was given; allowed is a string")
    if re.search(r"\s", url):
        raise ConfigError(f"{name} holds white space or a line break")
    # What stands before an @ may be a password, and a key behind a question mark.
    shown = repr(re.split("[?#]", url)[0].rpartition("@")[2])
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{name}={shown} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigError(f"{name}={shown}: allowed is an http or https URL with a host")
    if not (re.fullmatch(_HOST, parts.hostname) or is_address(parts.hostname)):
        raise ConfigError(f"{name}={shown}: {parts.hostname!r} is no host name; one in another script begins with xn--")
    if not re.fullmatch(_PATH, parts.path):
        raise ConfigError(f"{name}={shown}: the path holds what no URL may hold as it stands; write it as %XX")
    if name == "base_url" and (parts.username or parts.password):
        raise ConfigError("base_url carries a user name or password; only the key authenticates")
    return parts


def _first(argument: str, given: str | None, *names: str) -> str | None:
    for value in (given, *(os.environ.get(name) for name in names)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{argument}: a value of type {type(value).__name__} was given; allowed is a string")
        if value is not None and value.strip():
            return value
    return None
