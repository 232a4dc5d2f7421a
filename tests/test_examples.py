"""The examples run as they are."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_image_set_is_made(comet_service, tmp_path):
    environment = {**os.environ, "COMETAPI_KEY": comet_service.key, "COMETFLUX_BASE_URL": comet_service.url}
    command = [sys.executable, EXAMPLES / "image_set.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == run.returncode, run.stderr
    assert 6 == len(list((tmp_path / "animals").glob("*.png"))) == len(comet_service.bills)
