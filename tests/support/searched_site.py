"""Check that the search of the built site finds words in titles or texts: ``python searched_site.py FOLDER WORD…``."""

import json
import sys
from pathlib import Path

import snowballstemmer


def find_pages(folder: Path, word: str) -> set[str]:
    """Return the pages that the site's own search finds. It finds a number only as an index entry."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    if word.isdigit():
        numbers = [place[0] for place in index["indexentries"].get(word, [])]
    else:
        stem = snowballstemmer.stemmer("english").stemWord(word.lower())
        found = [index[terms].get(stem, []) for terms in ("terms", "titleterms")]
        numbers = [number for each in found for number in ([each] if isinstance(each, int) else each)]
    return {index["docnames"][number] for number in numbers}


if __name__ == "__main__":
    site, words = Path(sys.argv[1]), sys.argv[2:]
    # The first page lists the words of others; it is not where they are explained.
    sys.exit(
        "\n".join(f"the search finds no page for {word}" for word in words if not find_pages(site, word) - {"index"})
        or 0
    )
