"""A file is replaced whole or not at all."""

from pathlib import Path

import pytest

from cometflux.storage.atomic import replace
from cometflux.storage.folder import sweep


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, b"old, and longer"], ids=["new", "there before"])
def test_a_file_holds_the_new_bytes(before, tmp_path):
    path = tmp_path / "a.json"
    if before:
        path.write_bytes(before)
    replace(path, b"new")
    assert b"new" == path.read_bytes()
    assert ["a.json"] == names(tmp_path)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "a.json").symlink_to("precious")
    replace(tmp_path / "a.json", b"new")
    assert b"old" == (tmp_path / "precious").read_bytes()
    assert not (tmp_path / "a.json").is_symlink()


def test_what_was_there_stays_if_it_cannot_be_replaced(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace(tmp_path / "a.json", b"new")
    assert ["a.json"] == names(tmp_path)


class Swept(type(Path())):
    """A path in a folder that another run sweeps while this one writes to it."""

    sweeps = 0

    def replace(self, target):
        if Swept.sweeps:
            Swept.sweeps -= 1
            assert 1 == sweep(self.parent)
        return super().replace(target)


@pytest.mark.parametrize("sweeps", [1, 2])
def test_a_file_is_replaced_though_another_run_sweeps_meanwhile(sweeps, tmp_path):
    Swept.sweeps = sweeps
    replace(Swept(tmp_path) / "a.json", b"new")
    assert ["a.json"] == names(tmp_path)


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "nowhere" / "a.json", b"new")
