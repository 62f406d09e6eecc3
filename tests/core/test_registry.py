"""A model's name is its file's, its entry point's, or what it was registered as; nothing is imported before."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from fieldcast.backbones.stid import STID
from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES, STAGES, Registry, register
from fieldcast.core.stage import AfterStage, Stage
from fieldcast.errors import FieldcastError

BUILT_IN = (
    "daily_climatology", "historical_inertia", "last_value", "lstm", "ridge_var", "stid", "weekly_climatology",
    "window_mean",
)  # fmt: skip


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    for registry in (BACKBONES, STAGES):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **files: str) -> Registry:
    """A registry over a package of its own, made of the given modules."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, source in files.items():
        (folder / name / f"{module}.py").write_text(dedent(source), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return Registry(name, Backbone, "backbone")


MODEL = """
    from fieldcast.core.backbone import Backbone

    class {name}(Backbone):
        def encode(self, x, ctx): ...
        def head(self, h): ...
"""


def test_every_file_is_a_backbone_of_its_name() -> None:
    assert set(BUILT_IN) <= set(BACKBONES.names())
    assert BACKBONES.get("stid") is STID
    for name in BUILT_IN:
        cls = BACKBONES.get(name)
        assert issubclass(cls, Backbone) and BACKBONES.name_of(cls) == name


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(FieldcastError, match=r"no backbone 'stld' \(did you mean 'stid'\?\).*known are .*lstm"):
        BACKBONES.get("stld")


@pytest.mark.parametrize("name", ["os.path", "evil.Evil", "../stid", "", "stid.STID", "__init__"])
def test_an_import_path_is_no_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('evil ran')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FieldcastError, match="there is no backbone"):
        BACKBONES.get(name)
    assert "evil" not in sys.modules


def test_files_are_found_without_an_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = package(
        tmp_path, monkeypatch, "family_a", first=MODEL.format(name="First"), _hidden="raise RuntimeError"
    )
    assert registry.names() == ["first"]
    assert "family_a.first" not in sys.modules
    assert registry.get("first").__name__ == "First"
    assert registry.name_of(registry.get("first")) == "first"


def test_a_folder_is_a_backbone_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = package(tmp_path, monkeypatch, "family_b")
    (tmp_path / "family_b" / "large").mkdir()
    (tmp_path / "family_b" / "large" / "__init__.py").write_text("from family_b.large.model import Large\n")
    (tmp_path / "family_b" / "large" / "model.py").write_text(dedent(MODEL.format(name="Large")))
    assert registry.name_of(registry.get("large")) == "large"


def test_two_classes_in_a_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = MODEL.format(name="First") + MODEL.format(name="Second")
    registry = package(tmp_path, monkeypatch, "family_c", both=both, none="x = 1")
    with pytest.raises(FieldcastError, match="must define one backbone class but defines 2"):
        registry.get("both")
    with pytest.raises(FieldcastError, match="defines 0"):
        registry.get("none")


def test_a_helper_class_and_an_imported_one_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from fieldcast.backbones.stid import STID\n" + dedent(MODEL.format(name="Own"))
    source += "\nclass _Helper(Own): ...\n"
    assert package(tmp_path, monkeypatch, "family_d", own=source).get("own").__name__ == "Own"


def test_an_entry_point_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_models.py").write_text(dedent(MODEL.format(name="Theirs")))
    info = tmp_path / "their_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fieldcast.backbones]\ntheirs = their_models:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "theirs" in BACKBONES.names()
    assert "their_models" not in sys.modules
    cls = BACKBONES.get("theirs")
    assert cls.__name__ == "Theirs" and BACKBONES.name_of(cls) == "theirs"
    sys.modules.pop("their_models")


def test_register_by_decorator(forget: None) -> None:
    @register
    class MyOwnModel(Backbone):
        def encode(self, x, ctx): ...  # type: ignore[override]

        def head(self, h): ...  # type: ignore[override]

    @register
    class MyStage(AfterStage):
        pass

    assert BACKBONES.get("my_own_model") is MyOwnModel and BACKBONES.name_of(MyOwnModel) == "my_own_model"
    assert STAGES.get("my_stage") is MyStage
    with pytest.raises(FieldcastError, match="there is no stage 'my_stag'"):
        STAGES.get("my_stag")


def test_registering_again_replaces_ones_own_but_never_one_of_ours(forget: None) -> None:
    def model(name: str) -> type[Backbone]:
        return type(name, (Backbone,), {"encode": lambda *_: None, "head": lambda *_: None})

    register(model("Mine"))
    again = register(model("Mine"))
    assert BACKBONES.get("mine") is again
    with pytest.raises(FieldcastError, match="fieldcast has a backbone 'stid' of its own"):
        register(model("STID"))


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(FieldcastError, match="neither a Backbone nor a Stage"):
        register(dict)  # type: ignore[type-var]


def test_a_class_that_nobody_registered_has_no_name() -> None:
    class Unknown(Stage):
        pass

    with pytest.raises(FieldcastError, match="Unknown is not registered"):
        STAGES.name_of(Unknown)
