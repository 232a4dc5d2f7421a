"""What may stand in the environment, and what is said of it."""

KEY = "sk-canary-0123456789"

KEYS = {
    "a line break at the end": (f"{KEY}\n", "whitespace or a line break"),
    "a carriage return": (f"{KEY}\r", "whitespace or a line break"),
    "a blank before it": (f" {KEY}", "whitespace or a line break"),
    "a blank that does not break": (f"{KEY}\u00a0", "whitespace or a line break"),
    "two keys": (f"{KEY} {KEY}", "whitespace or a line break"),
    "two keys and a comma": (f"{KEY},{KEY}", "holds ',', a character that no key has"),
    "the name of the scheme": (f"Bearer {KEY}", "begins with the word Bearer"),
    "double quotes": (f'"{KEY}"', "give it without quotes"),
    "single quotes": (f"'{KEY}'", "give it without quotes"),
    "typographic quotes": (f"\u201c{KEY}\u201d", "holds '\\u201c', a character that no key has"),
    "a letter with an accent": (f"{KEY}\u00e9", "holds '\\xe9', a character that no key has"),
    "a mark that nobody sees": (f"\ufeff{KEY}", "holds '\\ufeff', a character that no key has"),
    "a placeholder": ("<your-key>", "holds '<', a character that no key has"),
    "the name of the variable": ("$COMETAPI_KEY", "holds '$', a character that no key has"),
    "an ellipsis": (f"{KEY[:9]}\u2026", "holds '\\u2026', a character that no key has"),
    "a comment": (f"{KEY}#old", "holds '#', a character that no key has"),
    "nothing": ("", "there is no API key"),
    "blanks": (" \t", "there is no API key"),
}

HOST = "is not a host name; write an international one in its xn-- form"
HTTP = "must be an http or https URL with a host"
PATH = "the path has a part that a URL must not have"

ADDRESSES = {
    "no scheme": ("example.com/v1", HTTP),
    "ftp": ("ftp://example.com/v1", HTTP),
    "a file": ("file:///v1", HTTP),
    "quotes": ("'https://example.com/v1'", HTTP),
    "no host": ("https:///v1", HTTP),
    "a port that is none": ("https://example.com:99999/v1", "is not a URL (Port out of range"),
    "half an IPv6 address": ("https://[::1/v1", "is not a URL"),
    "a query": (f"https://example.com/v1?key={KEY}", "must have no query and no fragment"),
    "a fragment": (f"https://example.com/v1#{KEY}", "must have no query and no fragment"),
    "a user": (f"https://someone:{KEY}@example.com/v1", "only the key authenticates"),
    "a blank": ("https://example.com/v 1", "whitespace or a line break"),
    "a line break": ("https://example.com/v1\n", "whitespace or a line break"),
    "a host in another script": ("https://b\u00fccher.example/v1", HOST),
    "a host with full stops of another script": ("https://example\u3002com/v1", HOST),
    "a host without its first part": ("https://.example.com/v1", HOST),
    "a host with a part missing": ("https://example..com/v1", HOST),
    "a host of one part too long": (f"https://{'a' * 64}.example/v1", HOST),
    "a host that does not end": (f"https://{'a.' * 130}example/v1", HOST),
    "a host with a backslash": ("https://example.com\\v1", HOST),
    "a host that is escaped": ("https://exam%70le.com/v1", HOST),
    "a placeholder for a host": ("https://<host>/v1", HOST),
    "a path in another script": ("https://example.com/\u00e4", PATH),
    "a path that climbs": ("https://example.com/a/../v1", PATH),
    "a path that stands still": ("https://example.com/./v1", PATH),
    "a path with half an escape": ("https://example.com/%4", PATH),
    "a path with a control character": ("https://example.com/\x01", PATH),
    "a path with a placeholder": ("https://example.com/<version>", PATH),
    "another API of the same service": ("https://api.cometapi.com/v1", "leads to another API"),
    "the service without encryption": ("http://api.cometapi.com/replicate/v1", "leads to another API"),
    "a route of the API": ("https://example.com/replicate/v1/predictions", "ends as another API does"),
}
