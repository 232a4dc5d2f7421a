"""What is exported is read by the packages it is for: datasets and webdataset. They are in `make test-readers` only."""

import io
import shlex
from pathlib import Path

import pytest
from PIL import Image

from cometflux.cli import main
from cometflux.testing import LocalService

datasets = pytest.importorskip("datasets", reason="datasets is not installed: make test-readers")
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def tour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    Path("a.csv").write_text("prompt,model,guidance\na fox,flux-schnell,\nan owl,flux-dev,3.5\n")
    with LocalService.in_thread(latency=0.05, pixels=4096) as service:
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        assert 0 == main(shlex.split("batch a.csv --out tour"))
    return Path("tour")


def export(form, *more):
    assert 0 == main(["export", "tour", "--to", form, "--as", form, *more])


def check(rows):
    rows = sorted(rows, key=lambda row: row["index"])
    assert ["a fox", "an owl"] == [row["text"] for row in rows]
    assert [None, 3.5] == [row["guidance"] for row in rows]
    assert ["black-forest-labs/flux-schnell", "black-forest-labs/flux-dev"] == [row["model"] for row in rows]
    sizes = [Image.open(path).size for path in sorted(Path("tour").glob("*.webp"))]
    assert sizes == [row["image"].size for row in rows]


def test_an_imagefolder_gives_every_column(tour):
    export("imagefolder")
    check(datasets.load_dataset("imagefolder", data_dir="imagefolder", split="train"))


def test_parquet_gives_every_column_and_decoded_images(tour):
    export("parquet")
    check(datasets.load_dataset("parquet", data_files="parquet/pictures.parquet", split="train"))


def test_shards_give_a_picture_its_caption_and_its_columns(tour):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed: make test-readers")
    export("webdataset")
    samples = list(webdataset.WebDataset("webdataset/000000.tar", shardshuffle=False).decode())
    assert ["00000-a-fox", "00001-an-owl"] == [sample["__key__"] for sample in samples]
    assert ["a fox", "an owl"] == [sample["txt"] for sample in samples]
    assert [None, 3.5] == [sample["json"]["guidance"] for sample in samples]
    assert all(Image.open(io.BytesIO(sample["webp"])).size for sample in samples)
