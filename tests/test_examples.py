"""The examples run as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cometflux.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_image_set_is_made(comet_service, tmp_path):
    environment = {**os.environ, "COMETAPI_KEY": comet_service.key, "COMETFLUX_BASE_URL": comet_service.url}
    command = [sys.executable, EXAMPLES / "image_set.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == run.returncode, run.stderr
    assert 6 == len(list((tmp_path / "animals").glob("*.png"))) == len(comet_service.bills)


def test_the_sweep_is_sixty_pictures(capsys):
    assert 0 == main(["batch", str(EXAMPLES / "sweep.yaml"), "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (60, 60, 6) == (told["to_buy"], told["images"], len(told["models"]))


@pytest.mark.hard
def test_the_sweep_is_made_for_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 0 == main(["batch", str(EXAMPLES / "sweep.yaml"), "--local"])
    assert 60 == sum(path.suffix in (".webp", ".jpg", ".png") for path in (tmp_path / "sweep-images").iterdir())
