"""The still picture of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldcast.errors import FieldcastError
from fieldcast.reporting.pictures import score_picture
from tests.reporting.run_folder import write_run_folder


@pytest.mark.parametrize("changes", [{}, {"minutes": 1440, "days": 60, "seeds": (0,)}, {"nodes": 1}])
def test_it_is_drawn(tmp_path: Path, changes: dict) -> None:
    folder = write_run_folder(tmp_path / "run", **({"nodes": 4, "days": 3, "minutes": 60} | changes))
    out = score_picture(folder, tmp_path / "picture.png")
    assert out.read_bytes().startswith(b"\x89PNG") and out.stat().st_size > 20_000


def test_an_unknown_target_is_named(tmp_path: Path) -> None:
    folder = write_run_folder(tmp_path / "run", nodes=2, days=2, minutes=60)
    with pytest.raises(FieldcastError, match="no target 'speed'"):
        score_picture(folder, tmp_path / "picture.png", target="speed")
    assert not (tmp_path / "picture.png").exists()
