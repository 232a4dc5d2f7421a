import contextlib
import inspect

import pytest

from cometflux import fetch_balance, fetch_prices
from cometflux.errors import AccountError, ConfigError, ConnectError
from cometflux.session.open import open_session
from cometflux.session.session import Session
from cometflux.session.settings import DEFAULT_BASE_URL, read_access_token, read_base_url, read_key, read_proxy

KEY, OTHER = "sk-9f8e7d6c5b4a", "sk-0011223344"
NAMES = [
    "COMETAPI_KEY",
    "COMETAPI_API_KEY",
    "COMETFLUX_BASE_URL",
    "COMETAPI_BASE_URL",
    "COMET_API_KEY",
    "OPENAI_API_KEY",
    "COMETAPI_ACCESS_TOKEN",
]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def refusal_of(call, *args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# The key.


def test_without_a_key_there_is_no_session():
    message = refusal_of(read_key)
    assert "COMETAPI_KEY" in message
    assert "api_key" in message
    assert message == refusal_of(open_session)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"], ids=repr)
def test_a_blank_key_is_none(blank, monkeypatch):
    monkeypatch.setenv("COMETAPI_KEY", blank)
    monkeypatch.setenv("COMETAPI_API_KEY", blank)
    assert "there is no API key" in refusal_of(read_key, blank)
    monkeypatch.setenv("COMETAPI_API_KEY", KEY)
    assert KEY == read_key(blank)


def test_the_nearest_key_wins(monkeypatch):
    monkeypatch.setenv("COMETAPI_API_KEY", "sk-third")
    assert "sk-third" == read_key()
    monkeypatch.setenv("COMETAPI_KEY", "sk-second")
    assert "sk-second" == read_key()
    assert "sk-first" == read_key("sk-first")


@pytest.mark.parametrize("name", ["COMET_API_KEY", "OPENAI_API_KEY"])
def test_other_variables_hold_no_key_of_ours(name, monkeypatch):
    monkeypatch.setenv(name, KEY)
    assert "there is no API key" in refusal_of(read_key)


BAD_KEYS = [
    *(
        f"{KEY}\n",
        f"\n{KEY}",
        f"{KEY}\r\nHost: example.com",
        f"{KEY} {OTHER}",
        f"{KEY}\t",
        f"{KEY}\u00a0",
        f"{KEY}\u2028",
    ),
    *(
        f"Bearer {KEY}",
        f"bearer {KEY}",
        f"BEARER{KEY}",
        f"Bearer:{KEY}",
        f"{KEY}ä",
        f"{KEY}\u200b",
        f"{KEY}\x00",
        f"{KEY}…",
    ),
    *(f"{KEY}\x7f", f"{KEY}\udc80", f" {KEY}", f"{KEY} "),
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
def test_a_key_that_cannot_be_meant_is_refused_and_not_shown(key):
    message = refusal_of(read_key, key)
    assert KEY not in message
    assert OTHER not in message
    assert KEY not in refusal_of(open_session, api_key=key)


@pytest.mark.parametrize("key", [key for key in BAD_KEYS if "\0" not in key and key.strip(" ") == key], ids=repr)
def test_a_key_in_the_environment_is_looked_at_as_closely(key, monkeypatch):
    monkeypatch.setenv("COMETAPI_KEY", key)
    assert KEY not in refusal_of(read_key)


@pytest.mark.parametrize("key", [KEY, "local", "k", "sk-" + "a" * 250, "a.b_c-d+e/f="], ids=lambda key: key[:12])
def test_any_other_key_is_taken(key):
    assert key == read_key(key)


@pytest.mark.parametrize("key", [b"sk-secret", 5, ["sk-secret"]], ids=repr)
def test_a_key_is_a_string(key):
    message = refusal_of(read_key, key)
    assert type(key).__name__ in message
    assert "secret" not in message


# The base URL.


def test_the_base_url_is_the_services_own_unless_given(monkeypatch):
    assert "https://api.cometapi.com/replicate/v1" == DEFAULT_BASE_URL == read_base_url()
    monkeypatch.setenv("COMETFLUX_BASE_URL", "https://second.example.com/v1")
    assert "https://second.example.com/v1" == read_base_url()
    assert "https://first.example.com/v1" == read_base_url("https://first.example.com/v1")


@pytest.mark.parametrize("blank", ["", " "], ids=repr)
def test_a_blank_base_url_is_none(blank, monkeypatch):
    monkeypatch.setenv("COMETFLUX_BASE_URL", blank)
    assert DEFAULT_BASE_URL == read_base_url(blank)


@pytest.mark.parametrize("value", ["https://api.cometapi.com/v1", "nonsense", ""], ids=repr)
def test_the_variable_of_other_tools_is_never_read(value, monkeypatch):
    monkeypatch.setenv("COMETAPI_BASE_URL", value)
    assert DEFAULT_BASE_URL == read_base_url()


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_a_slash_at_the_end_makes_no_difference(slashes):
    assert DEFAULT_BASE_URL == read_base_url(DEFAULT_BASE_URL + slashes)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/replicate/v1",
        "http://[::1]:8080/replicate/v1",
        "https://gateway.example.com",
        "https://gateway.example.com:8443/a/b",
    ],
)
def test_another_gateway_will_do(url):
    assert url == read_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "api.cometapi.com/replicate/v1",
            "ftp://example.com/v1",
            "file:///etc/passwd",
            "//example.com/v1",
            "https://",
        ),
        *("https:///v1", "javascript:alert(1)", "https://example.com:0/v1", "https://example.com:99999/v1", "nonsense"),
        *("https://example.com:x/v1", "http://[::1/v1", "https://:443/v1"),
    ],
)
def test_what_is_no_address_is_refused(url):
    assert refusal_of(read_base_url, url).startswith(f"base_url='{url.rstrip('/')}'")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/v1?a=b",
        "https://example.com/v1#a",
        "https://example.com/?a",
        "https://example.com/v1?",
        "https://example.com/v1#",
    ],
)
def test_a_base_url_ends_in_its_path(url):
    assert "no query and no fragment" in refusal_of(read_base_url, url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/v1\n", "https://exa\nmple.com/v1", " https://example.com/v1", "https://example.com/v1 "),
        *("https://exa mple.com/v1", "https://example.com/\tv1", "https://example.com/v 1", "https://example.com\r\n"),
    ],
    ids=repr,
)
def test_a_base_url_holds_no_white_space(url):
    assert refusal_of(read_base_url, url).startswith("base_url")


@pytest.mark.parametrize("where", [f"?key={KEY}", f"#{KEY}"], ids=["query", "fragment"])
def test_a_key_in_the_base_url_is_not_shown(where):
    assert KEY not in refusal_of(read_base_url, f"https://example.com/v1{where}")


@pytest.mark.parametrize("proxy", [f"socks5://someone:{KEY}@example.com", f"http://someone:{KEY}@example.com:x"])
def test_the_password_of_a_proxy_is_not_shown(proxy):
    assert KEY not in refusal_of(open_session, api_key=OTHER, proxy=proxy)


@pytest.mark.parametrize("user", ["someone", f"someone:{KEY}", f":{KEY}", KEY], ids=["name", "both", "word", "key"])
def test_a_base_url_carries_no_user_and_does_not_show_one(user):
    message = refusal_of(read_base_url, f"https://{user}@example.com/v1")
    assert "carries a user name or password" in message
    assert KEY not in message


@pytest.mark.parametrize(
    "url",
    [
        "https://api.cometapi.com",
        "https://api.cometapi.com/v1",
        "https://api.cometapi.com/flux/v1",
        "https://api.cometapi.com/replicate",
        "https://api.cometapi.com/replicate/v1/predictions",
        "https://api.cometapi.com/replicate/v1/models",
        "https://API.COMETAPI.COM/v1",
    ],
)
def test_the_address_of_another_api_is_refused(url):
    message = refusal_of(read_base_url, url)
    assert "leads to another API" in message
    assert DEFAULT_BASE_URL in message


@pytest.mark.parametrize(
    "path",
    [
        *("v1/predictions", "v1/models", "v1/completions", "v1/chat", "v1/images", "v1/generations", "v1/messages"),
        *("openai/v1", "flux/v1", "mj", "replicate/v1/predictions"),
    ],
)
def test_an_address_that_ends_as_another_api_does_is_refused(path):
    assert "ends as another API does" in refusal_of(read_base_url, f"https://example.com/{path}")


@pytest.mark.parametrize("start", ["ftp://h", "http://h:99999", "https://h"])
def test_no_refusal_shows_what_stands_behind_a_question_mark(start):
    assert KEY not in refusal_of(read_base_url, f"{start}/x?key={KEY}")


@pytest.mark.parametrize("url", [5, b"https://example.com", ["https://example.com"]], ids=repr)
def test_a_base_url_is_a_string(url):
    assert type(url).__name__ in refusal_of(read_base_url, url)


# The session.


def test_a_session_is_made_without_touching_the_network():
    session = open_session(api_key=KEY, proxy="http://user:word@proxy.example.com:3128")
    assert isinstance(session, Session)
    assert KEY not in repr(session)
    assert KEY not in repr(vars(session))


@pytest.mark.parametrize("proxy", ["proxy.example.com:3128", "socks5://proxy.example.com", "", "http://", 5], ids=repr)
def test_a_proxy_that_is_none_is_refused(proxy):
    assert refusal_of(open_session, api_key=KEY, proxy=proxy).startswith("proxy")


# The proxy of the environment.


@pytest.fixture
def proxies(monkeypatch):
    """Return a function that sets the variables for proxies, and these alone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        for spelled in (name, name.lower()):
            monkeypatch.delenv(spelled, raising=False)

    def set_them(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_them


NEAR, FAR = "http://127.0.0.1:8642/replicate/v1", "https://api.example.com/replicate/v1"


@pytest.mark.parametrize(
    ("variables", "base_url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, FAR, "http://p:1"),
        ({"https_proxy": "http://p:1"}, FAR, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, FAR, None),
        ({"HTTP_PROXY": "http://p:1"}, NEAR, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, NEAR, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example"}, FAR, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, FAR, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, FAR, None),
        ({}, FAR, None),
    ],
    ids=repr,
)
def test_the_environment_names_a_proxy_for_the_api_only_if_it_is_trusted(proxies, variables, base_url, proxy):
    proxies(**variables)
    assert proxy == read_proxy(None, base_url, trust_env=True)
    assert None is read_proxy(None, base_url)
    assert "http://own:2" == read_proxy("http://own:2", base_url, trust_env=True)


def test_a_proxy_of_the_environment_is_checked_and_its_password_is_not_shown(proxies):
    proxies(HTTPS_PROXY="socks5://someone:word@proxy.example.com")
    message = refusal_of(open_session, api_key=KEY, trust_env=True)
    assert message.startswith("proxy='proxy.example.com': must be an http or https URL")
    open_session(api_key=KEY)


async def fetch_nothing(service, **options):
    with contextlib.suppress(AccountError):
        await fetch_prices(base_url=service.url, **options)


async def fetch_what_is_left(service, **options):
    with contextlib.suppress(AccountError):
        await fetch_balance(base_url=service.url, api_key=service.key, **options)


async def run_a_job(service, **options):
    async with open_session(base_url=service.url, api_key=service.key, **options) as session:
        with contextlib.suppress(ConnectError):
            await session.run("a fox")


@pytest.mark.parametrize("use", [fetch_nothing, fetch_what_is_left, run_a_job], ids=lambda use: use.__name__)
async def test_every_way_to_the_api_takes_the_proxy_of_the_environment_only_if_it_is_trusted(service, proxies, use):
    proxies(HTTP_PROXY="http://127.0.0.1:9")
    await use(service, trust_env=True)
    assert [] == list(service.requests)
    await use(service)
    assert [] != list(service.requests)


@pytest.mark.parametrize("given", [1, "yes", None], ids=repr)
def test_whether_the_environment_is_trusted_is_true_or_false(given):
    assert refusal_of(open_session, api_key=KEY, trust_env=given).startswith("trust_env")


@pytest.mark.parametrize("most", [0, -1, True, 1.0, "64", None], ids=repr)
def test_a_session_holds_at_least_one_prediction(most):
    assert f"max_pending={most!r}: must be a whole number from 1" == refusal_of(
        open_session, api_key=KEY, max_pending=most
    )


@pytest.mark.parametrize("most", [0, -1, True, 1.0, "64", None], ids=repr)
def test_an_output_of_a_byte_at_least_is_read(most):
    assert f"largest_output={most!r}: must be a whole number from 1" == refusal_of(
        open_session, api_key=KEY, largest_output=most
    )


async def test_the_largest_output_is_the_callers_choice(service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url, largest_output=100) as session:
        (outcome,) = [outcome async for outcome in session.generate(["a boat"], save_to=tmp_path)]
    assert "the output is larger than 100 bytes" == outcome.error.message


def test_every_argument_is_given_by_name_and_explained():
    parameters = inspect.signature(open_session).parameters.values()
    assert {inspect.Parameter.KEYWORD_ONLY} == {parameter.kind for parameter in parameters}
    assert all(f"{parameter.name}: " in open_session.__doc__ for parameter in parameters)


# The access token.


def test_the_access_token_comes_from_the_argument_or_the_environment(monkeypatch):
    assert read_access_token() is None
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", "from-the-environment")
    assert "from-the-environment" == read_access_token()
    assert "from-the-argument" == read_access_token("from-the-argument")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (KEY, "the access token is an API key"),
        ("same-as-the-key", "the access token is an API key"),
        ("Bearer abc", "begins with the word Bearer; give the token alone"),
        ("abc def", "contains whitespace"),
        ('"abcdefgh"', "give it without quotes"),
    ],
    ids=["an API key", "the key itself", "with Bearer", "whitespace", "quotes"],
)
def test_an_access_token_that_cannot_be_one_is_refused_and_not_shown(token, said):
    message = refusal_of(read_access_token, token, "same-as-the-key")
    assert said in message
    assert token not in message


def test_an_access_token_where_the_key_belongs_is_named(monkeypatch):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", "0123456789abcdef")
    message = refusal_of(read_key, "0123456789abcdef")
    assert "the API key is the access token in COMETAPI_ACCESS_TOKEN" in message
    assert "0123456789abcdef" not in message
