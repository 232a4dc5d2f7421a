"""The examples run as they are."""

import json
import os
import re
import sys
from pathlib import Path

import forked_process
import pytest
from notebook_runs import execute

from cometflux.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"


def code_cells():
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_image_set_is_made(comet_service, tmp_path):
    environment = {**os.environ, "COMETAPI_KEY": comet_service.key, "COMETFLUX_BASE_URL": comet_service.url}
    command = [sys.executable, EXAMPLES / "image_set.py"]
    run = forked_process.run(command, cwd=tmp_path, env=environment)
    assert 0 == run.returncode, run.stderr
    assert 6 == len(list((tmp_path / "animals").glob("*.png"))) == len(comet_service.bills)


@pytest.mark.hard
@pytest.mark.realtime
def test_the_notebook_shows_its_pictures(comet_service, tmp_path, monkeypatch):
    import nbformat

    monkeypatch.setenv("COMETAPI_KEY", comet_service.key)
    monkeypatch.setenv("COMETFLUX_BASE_URL", comet_service.url)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    execute(notebook, tmp_path)
    _, one, many, shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert "a lighthouse in fog" in one[0].data["text/html"]
    assert f'<img src="{comet_service.url.removesuffix("/replicate/v1")}' in one[0].data["text/html"]
    assert [True] == [bool(re.search(r"6/6 \[.*, 6 succeeded\]\s*$", output.text)) for output in many]
    assert [True] * 6 == ["image/png" in output.data for output in shown]
    assert 7 == len(comet_service.bills)
    assert 6 == len(list((tmp_path / "animals").glob("*.png")))


def test_the_notebook_is_kept_without_what_it_made():
    assert [([], None)] * 4 == [(cell["outputs"], cell["execution_count"]) for cell in code_cells()]


def test_the_sweep_is_sixty_pictures(capsys):
    assert 0 == main(["batch", str(EXAMPLES / "sweep.yaml"), "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (60, 60, 6) == (told["to_buy"], told["images"], len(told["models"]))


@pytest.mark.hard
def test_the_sweep_is_made_for_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 0 == main(["batch", str(EXAMPLES / "sweep.yaml"), "--local"])
    assert 60 == sum(path.suffix in (".webp", ".jpg", ".png") for path in (tmp_path / "sweep-images").iterdir())
