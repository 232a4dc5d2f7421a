"""Check that no page of the built site requests anything over the network: ``python offline_site.py FOLDER``."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

_FETCHED = {"src", "srcset", "poster", "data", "background"}
# A link is only followed by the reader, but the browser fetches these.
_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
_REMOTE = re.compile(r"^\s*(https?:|wss?:|//)", re.IGNORECASE)
_IN_CODE = re.compile(
    r"""(?:@import|url\()\s*['"]?\s*(?:https?:)?//|(?:fetch|import)\(\s*['"`](?:https?:)?//""", re.IGNORECASE
)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        urls = [value for name, value in given.items() if name in _FETCHED]
        if tag == "link" and _LINKS & set(given.get("rel", "").lower().split()):
            urls.append(given.get("href", ""))
        self.found += [f"<{tag}> {value}" for value in urls if _REMOTE.match(value)]
        self.found += [f"<{tag}> style" for value in [given.get("style", "")] if _IN_CODE.search(value)]


def find_requests(folder: Path) -> list[str]:
    """Return the URLs that pages, styles and scripts below *folder* would fetch over the network."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".html", ".css", ".js", ".svg"):
            continue
        text = path.read_text(encoding="utf-8")
        page = _Page()
        if path.suffix in (".html", ".svg"):
            page.feed(text)
        code = re.findall(r"<(?:style|script)\b.*?</", text, re.DOTALL) if path.suffix == ".html" else [text]
        urls = page.found + [match[0] for each in code for match in _IN_CODE.finditer(each)]
        found += [f"{path.relative_to(folder)}: {each}" for each in urls]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(find_requests(Path(sys.argv[1]))) or 0)
