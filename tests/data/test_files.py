"""Files are there whole or not at all, and readable by whom the umask allows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fieldcast.data.files import write_atomically


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_is_that_of_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a.safetensors", lambda beside: save_file({"x": np.ones(2)}, beside))
        write_atomically(tmp_path / "a.txt", "a")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a.safetensors", "a.txt")] == [mode, mode]


def test_what_a_killed_process_left_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / ".a.partial.txt").write_text("half of a very long text")
    write_atomically(tmp_path / "a.txt", "whole")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "whole"


def test_a_failure_leaves_what_stood_there_and_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def failing(beside: Path) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device", str(beside))

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, failing)
    assert caught.value.filename == str(path)
    assert path.read_text() == "before" and [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / "folder.txt", "text")
    assert caught.value.filename == str(tmp_path / "folder.txt")
