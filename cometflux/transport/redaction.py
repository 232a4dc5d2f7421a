r"""Hide the key in any text, however its characters are escaped.

A server that echoes the key may write each character plainly, or escape it as JSON, URLs or HTML do, or as several of
them one after the other: ``+``, ``\u002B``, ``%2b``, ``&#43;``, ``%26plus%3B``. So the text is decoded again and again,
and the key is hidden at the place that it came from.
"""

import base64
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

_SHORTEST_SECRET = 8
_HIDDEN = "***"
_MOST_ROUNDS = 6
"""How many times a text is decoded at most. Each round takes time in proportion to the text."""
_BY_NAME = {
    "excl": "!",
    "quot": '"',
    "QUOT": '"',
    "num": "#",
    "dollar": "$",
    "percnt": "%",
    "amp": "&",
    "AMP": "&",
    "apos": "'",
    "lpar": "(",
    "rpar": ")",
    "ast": "*",
    "midast": "*",
    "plus": "+",
    "comma": ",",
    "period": ".",
    "hyphen": "-",
    "dash": "-",
    "sol": "/",
    "colon": ":",
    "semi": ";",
    "lt": "<",
    "LT": "<",
    "equals": "=",
    "gt": ">",
    "GT": ">",
    "quest": "?",
    "commat": "@",
    "lsqb": "[",
    "lbrack": "[",
    "bsol": "\\",
    "rsqb": "]",
    "rbrack": "]",
    "Hat": "^",
    "lowbar": "_",
    "UnderBar": "_",
    "grave": "`",
    "lcub": "{",
    "lbrace": "{",
    "vert": "|",
    "verbar": "|",
    "rcub": "}",
    "rbrace": "}",
}
"""The names of characters in HTML."""
_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|u\{0{0,6}([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|([\\/\"']))"
    r"|%([0-9a-fA-F]{2})"
    rf"|&(?:#0{{0,6}}([0-9]{{1,7}})|#[xX]0{{0,6}}([0-9a-fA-F]{{1,6}})|({'|'.join(_BY_NAME)}));?"
)
_MARK = re.compile(r"[\\%&]")
_LONGEST_ESCAPE = 24
_LAST = 0x10FFFF


class _Decoded:
    """A text with its escapes decoded once, and where each character came from."""

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._places: list[int] = []
        """The places of the decoded characters."""
        self._spans: list[tuple[int, int]] = []
        """The places of their escapes in the text before."""
        end = length = 0
        for found in _ESCAPE.finditer(text):
            parts += (text[end : found.start()], _character(found))
            self._places.append(length + found.start() - end)
            self._spans.append(found.span())
            length, end = self._places[-1] + 1, found.end()
        self.text = "".join([*parts, text[end:]])
        self.is_changed = bool(parts)

    def span_before(self, place: int) -> tuple[int, int]:
        """Return the place of a character in the text before."""
        number = bisect_left(self._places, place)
        if number < len(self._places) and self._places[number] == place:
            return self._spans[number]
        before = place + (self._spans[number - 1][1] - self._places[number - 1] - 1 if number else 0)
        return before, before + 1


def _character(found: re.Match[str]) -> str:
    unicode, braces, two, plain, percent, decimal, hexadecimal, name = found.groups()
    if plain or name:
        return plain or _BY_NAME[name]
    code = int(decimal) if decimal else int(unicode or braces or two or percent or hexadecimal, 16)
    return chr(code) if code <= _LAST else "\ufffd"


class _Secret:
    """One text to hide."""

    def __init__(self, secret: str) -> None:
        self._forms = {secret, secret.encode().decode("latin-1")}
        # If the secret is there, its first characters are plain or one of them is escaped.
        beginning = secret[:4]
        self._beginning = beginning.encode()
        self._hint = re.compile(_hints(beginning).encode())

    def hide(self, body: bytes) -> bytes:
        if self._beginning not in body and self._hint.search(body) is None:
            return body
        text = body.decode("latin-1")
        end = len(text)
        for first, last in sorted(_spans(text, self._wholes), reverse=True):
            # Two forms of it may be found at one place.
            if last <= end:
                text, end = f"{text[:first]}{_HIDDEN}{text[last:]}", first
        cut = min(self._cut(text), default=None)
        return (text if cut is None else f"{text[:cut]}{_HIDDEN}").encode("latin-1")

    def _wholes(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            place = text.find(form)
            while place >= 0:
                yield place, place + len(form)
                place = text.find(form, place + len(form))

    def _cut(self, text: str) -> Iterator[int]:
        """Yield where the secret begins at the end of a text that was cut within the secret."""
        size = max(map(len, self._forms)) * _LONGEST_ESCAPE
        begin = max(len(text) - size, 0)
        # The last escape may itself be cut.
        marks = _MARK.finditer(text, max(len(text) - _LONGEST_ESCAPE, 0))
        for end in (len(text), *(found.start() for found in marks)):
            for first, _ in _spans(text[begin:end], self._beginnings):
                yield begin + first

    def _beginnings(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            for length in range(len(form) - 1, _SHORTEST_SECRET - 1, -1):
                if text.endswith(form[:length]):
                    yield len(text) - length, len(text)
                    break


def _spans(text: str, find: Callable[[str], Iterator[tuple[int, int]]]) -> set[tuple[int, int]]:
    """Return the places in *text* that *find* finds in it, or in what is left when its escapes are decoded."""
    spans = set()
    rounds: list[_Decoded] = []
    for _ in range(_MOST_ROUNDS):
        for begin, end in find(text):
            for each in reversed(rounds):
                begin, end = each.span_before(begin)[0], each.span_before(end - 1)[1]
            spans.add((begin, end))
        decoded = _Decoded(text)
        if not decoded.is_changed:
            break
        rounds.append(decoded)
        text = decoded.text
    return spans


def _hints(beginning: str) -> str:
    """Return a regular expression for an escape of one of these characters, or of the beginning of an escape.

    Nearly no response has one, and the search is fast.
    """
    characters = sorted({*beginning, "%", "&", "\\"})
    plain = "|".join(re.escape(each) for each in characters)
    codes = {ord(each) for each in characters} | {*"".join(characters).encode()}
    long, short = ("|".join(_hex(each, width) for each in sorted(codes)) for width in (4, 2))
    names = "|".join(name for name, each in _BY_NAME.items() if each in characters)
    return rf"\\(?:{plain}|u(?:{long}|\{{)|x(?:{short}))|%(?:{short})|&(?:#|{names})"


def _hex(number: int, width: int) -> str:
    """Return a regular expression for a hexadecimal number with letters of either case."""
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in f"{number:0{width}x}")


class Secrets:
    """Hides the key and the proxy's password."""

    def __init__(self, key: str, proxy: str | None) -> None:
        self._secrets = tuple(map(_Secret, _secrets(key, proxy)))

    def hide(self, text: str) -> str:
        """Return *text* with each secret replaced."""
        return self.hide_in_body(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def hide_in_response(self, headers: Mapping[str, str], body: bytes) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of a response with each secret replaced."""
        shown = "\n".join(headers.values()).encode("utf-8", "surrogatepass")
        if self.hide_in_body(shown) != shown:
            # If a header occurs more than once, the first one counts, as in the original.
            headers = {name.lower(): self.hide(value) for name, value in reversed([*headers.items()])}
        return headers, self.hide_in_body(body)

    def hide_in_body(self, body: bytes) -> bytes:
        """Return *body* with each secret replaced, and the start of one at its end."""
        for secret in self._secrets:
            body = secret.hide(body)
        return body


def _secrets(key: str, proxy: str | None) -> Iterator[str]:
    secrets = [key]
    user, _, word = (urlsplit(proxy).netloc.rpartition("@")[0] if proxy else "").partition(":")
    if word:
        pair = f"{unquote(user)}:{unquote(word)}"
        secrets += [unquote(word), base64.b64encode(pair.encode("latin-1", "replace")).decode()]
    # A shorter one is not a secret, and may be part of any word.
    return (secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
