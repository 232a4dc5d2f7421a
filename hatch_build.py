"""How a build writes the package's page on the package index: the README, with links that lead somewhere from there.

The address of the source is not in the tree, since a copy of the tree has another one: the build takes it from
SOURCE_URL. Without it the page has no links into the source, and the metadata has no project URLs.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https:)([^)\s]+)\)")


def write_index_page(readme: str, source: str, version: str) -> str:
    """Return *readme* with absolute links to *source* at *version*; with plain text if *source* is empty."""

    def replace(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        if not source:
            return "" if mark else text
        return f"{mark}[{text}]({source}/{'raw' if mark else 'blob'}/v{version}/{target})"

    # Every second part is code, which stays as it is.
    parts = _CODE.split(readme)
    return "".join(part if number % 2 else _LINK.sub(replace, part) for number, part in enumerate(parts))


class CustomMetadataHook(MetadataHookInterface):
    """Writes the fields ``readme`` and ``urls``. A build from an sdist has both already, and they stay."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Write the fields that are still dynamic."""
        source = os.environ.get("SOURCE_URL", "").rstrip("/")
        if source and not re.fullmatch(r"https://[^\s/]+/\S+", source):
            raise ValueError(f"SOURCE_URL={source!r}: must be an https address, such as https://HOST/TEAM/cometflux")
        if "readme" in metadata["dynamic"]:
            readme = Path(self.root, "README.md").read_text(encoding="utf-8")
            page = write_index_page(readme, source, metadata["version"])
            metadata["readme"] = {"content-type": "text/markdown", "text": page}
        if source and "urls" in metadata["dynamic"]:
            tree = f"{source}/blob/v{metadata['version']}"
            metadata["urls"] = {
                "Source": source,
                "Documentation": f"{tree}/docs/index.md",
                "Changelog": f"{tree}/CHANGELOG.md",
                "Issues": f"{source}/issues",
            }
