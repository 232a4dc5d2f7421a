"""Reads the key, the access token, the base URL and the proxy: argument, then environment, then default."""

import contextlib
import os
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from cometflux.errors import ConfigError
from cometflux.transport.addresses import is_address

DEFAULT_BASE_URL = "https://api.cometapi.com/replicate/v1"
_KEY_NAMES = ("COMETAPI_KEY", "COMETAPI_API_KEY")
_TOKEN_NAME = "COMETAPI_ACCESS_TOKEN"  # noqa: S105 - the name of a variable
_BASE_URL_NAME = "COMETFLUX_BASE_URL"


def check_flag(name: str, value: object) -> None:
    """Refuse a value that is not True or False."""
    if not isinstance(value, bool):
        raise ConfigError(setting=name, given=value, allowed="must be True or False")


def read_key(given: str | None = None) -> str:
    """Find the key, and refuse one that cannot be a key. No message shows it.

    Raises:
        ConfigError: there is no key, or it cannot be sent.
    """
    key = _first("api_key", given, *_KEY_NAMES)
    if key is None:
        raise ConfigError(
            "there is no API key",
            setting="api_key",
            hint="set COMETAPI_KEY, or pass api_key; to try it without a key, run the command with --local",
        )
    _check_secret("API key", "key", key)
    if key == _first("access_token", None, _TOKEN_NAME) and not _is_key(key):
        raise ConfigError(f"the API key is the access token in {_TOKEN_NAME}; an API key begins with sk-")
    return key


def read_access_token(given: str | None = None, key: str | None = None) -> str | None:
    """Find the access token of the account; None if there is none. No message shows it.

    *key* is the API key, which is another secret.

    Raises:
        ConfigError: it cannot be sent, or is an API key.
    """
    token = _first("access_token", given, _TOKEN_NAME)
    if token is None:
        return None
    _check_secret("access token", "token", token)
    if _is_key(token) or token == key:
        raise ConfigError(
            "the access token is an API key; take the token from the personal settings of the console",
            setting="access_token",
        )
    return token


@contextlib.contextmanager
def secrets_hidden() -> Iterator[None]:
    """Keep the key and the access token from the processes that are started meanwhile: they inherit the environment."""
    hidden = {name: os.environ.pop(name) for name in (*_KEY_NAMES, _TOKEN_NAME) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _is_key(secret: str) -> bool:
    return secret.startswith("sk-")


def _check_secret(name: str, short: str, secret: str) -> None:
    if secret.lower().startswith("bearer"):
        raise ConfigError(f"the {name} begins with the word Bearer; give the {short} alone")
    if re.search(r"\s", secret):
        raise ConfigError(f"the {name} contains whitespace or a line break; it was probably copied with something else")
    if odd := re.search(_NO_KEY_CHARACTER, secret):
        hint = "; give it without quotes" if odd[0] in "\"'`" else ""
        raise ConfigError(f"the {name} holds {odd[0]!a}, a character that no {short} has{hint}")


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
        raise _refusal("base_url", f"{re.split('[?#]', base)[0]}…", "must have no query and no fragment")
    host = parts.hostname or ""
    is_comet = host == "cometapi.com" or host.endswith(".cometapi.com")
    if is_comet and (parts.path != "/replicate/v1" or parts.scheme != "https"):
        allowed = f"this leads to another API; the Replicate-format routes are {DEFAULT_BASE_URL}"
        raise _refusal("base_url", base, allowed)
    if re.search(_OTHER_API, parts.path):
        raise _refusal("base_url", base, f"this ends as another API does; it should end as {DEFAULT_BASE_URL} does")
    return base


def read_proxy(given: str | None, base_url: str = "", *, trust_env: bool = False) -> str | None:
    """Check the URL of a proxy; None means a direct connection.

    With *trust_env* the environment may name the proxy for *base_url*, if none is given.

    Raises:
        ConfigError: it is not http(s), or *trust_env* is not a bool.
    """
    check_flag("trust_env", trust_env)
    if given is None and trust_env:
        given = _proxy_of_environment(urlsplit(base_url))
    if given is not None:
        _check_http_url("proxy", given)
    return given


def _proxy_of_environment(base: SplitResult) -> str | None:
    proxy = getproxies_environment().get(base.scheme)
    return None if proxy is None or proxy_bypass(base.netloc) else proxy


_HOST = r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?"
_PATH = r"(/(?!\.{1,2}(/|\Z))([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
# Where other APIs of such gateways begin, and routes that stand behind a base URL.
_OTHER_API = (
    r"/(openai/v1|flux/v1|gemini/v1|v1beta|mj"
    r"|chat|completions|embeddings|generations|images|messages|models|predictions|responses|videos)$"
)


def _check_http_url(name: str, url: str) -> SplitResult:
    if not isinstance(url, str):
        raise _not_a_string(name, url)
    if re.search(r"\s", url):
        raise ConfigError(setting=name, allowed="this contains whitespace or a line break")
    # What stands before an @ may be a password, and a key behind a question mark.
    shown = re.split("[?#]", url)[0].rpartition("@")[2]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refusal(name, shown, f"this is not a URL ({error})") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise _refusal(name, shown, "must be an http or https URL with a host")
    if not (re.fullmatch(_HOST, parts.hostname) or is_address(parts.hostname)):
        raise _refusal(
            name, shown, f"{parts.hostname!r} is not a host name; write an international one in its xn-- form"
        )
    if not re.fullmatch(_PATH, parts.path):
        raise _refusal(name, shown, "the path has a part that a URL must not have; write it as %XX")
    if name == "base_url" and (parts.username or parts.password):
        raise ConfigError(setting=name, allowed="this carries a user name or password; only the key authenticates")
    return parts


def _refusal(name: str, shown: str, allowed: str) -> ConfigError:
    return ConfigError(setting=name, given=shown, allowed=allowed)


def _not_a_string(name: str, value: object) -> ConfigError:
    return ConfigError(setting=name, allowed=f"a value of type {type(value).__name__} was given; must be a string")


def _first(argument: str, given: str | None, *names: str) -> str | None:
    for value in (given, *(os.environ.get(name) for name in names)):
        if value is not None and not isinstance(value, str):
            raise _not_a_string(argument, value)
        if value is not None and value.strip():
            return value
    return None
