"""What README.md and the pages under docs/ show, runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, found in enumerate(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE), 1):
            yield pytest.param(found[1], id=f"{page.name}, block {number}")


@pytest.mark.parametrize("code", list(blocks()))
def test_the_code_runs(code, comet_service, tmp_path):
    script = tmp_path / "test_shown.py"
    script.write_text(code, encoding="utf-8")
    if "async def main" in code and "asyncio.run" not in code:
        script.write_text(f"{code}\nimport asyncio\nasyncio.run(main())\n", encoding="utf-8")
    command = [
        sys.executable,
        *(["-m", "pytest", "-q", "-p", "no:randomly"] if "def test_" in code else []),
        script.name,
    ]
    environment = {**os.environ, "COMETAPI_KEY": comet_service.key, "COMETFLUX_BASE_URL": comet_service.url}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == run.returncode, run.stdout + run.stderr
    if "save_to" in code:
        assert 2 == len(list((tmp_path / "images").glob("*.webp")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
