"""Adapters live apart from their base: a small folder, several by name, off in a ``with`` block, refused elsewhere."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fieldcast.core.seeding import seeded
from fieldcast.data.files import SUMS
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create, freeze, load, load_adapter, save, save_adapter
from fieldcast.forecaster.adapters import CONFIG, WEIGHTS, fingerprint
from fieldcast.methods.st_lora import STLoRA
from tests.contracts import checks
from tests.contracts.cases import Sizes, Subject, stir, tiny_windows, train_steps
from tests.tiny import tiny_readings

SUBJECT = Subject("stgcn")


def adapted(name: str = "default", seed: int = 1, **settings: Any) -> Forecaster:
    """The base of the tests with an adapter on it, moved off its start; the base is the same each time."""
    forecaster = SUBJECT.build()
    with seeded(seed):
        adapter = STLoRA(**{"rank": 2, **settings})
        forecaster.attach(adapter, name)
        stir(adapter, seed)  # type: ignore[arg-type]
    return forecaster.eval()


def test_an_adapter_comes_back_to_the_bit(tmp_path: Path) -> None:
    for injection in ("residual", "predictor", "both"):
        forecaster, batch = adapted(injection=injection, tune_head=injection == "both"), SUBJECT.batch()
        folder = save_adapter(forecaster, tmp_path / injection)
        base = SUBJECT.build()
        plain = base.forecast(batch)
        load_adapter(base, folder)
        assert torch.equal(base.forecast(batch), forecaster.forecast(batch))
        assert not torch.equal(base.forecast(batch), plain)
        with base.adapted_by():
            assert torch.equal(base.forecast(batch), plain)
        assert torch.equal(base.forecast(batch), forecaster.forecast(batch))
        base.detach("default")
        assert torch.equal(base.forecast(batch), plain) and not base.adapters


def test_its_folder_holds_its_own_tensors_by_the_names_of_peft(tmp_path: Path) -> None:
    folder = save_adapter(adapted(injection="both"), tmp_path / "a")
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    names = set(load_file(folder / WEIGHTS))
    assert all(name.startswith("base_model.model.") for name in names)
    assert {name for name in names if "stlora" not in name} == {
        f"base_model.model.{layer}.lora_{factor}.weight" for layer in ("fc1", "fc2") for factor in "AB"
    }
    assert {f"base_model.model.stlora.{end}" for end in (
        "lora_E.weight", "blocks.0.stem.weight", "blocks.0.layers.2.lora_A.weight", "blocks.0.head.weight",
    )} <= names  # fmt: skip
    settings = json.loads((folder / CONFIG).read_text())
    assert settings["peft_type"] == "STLORA" and settings["r"] == 2 and settings["lora_alpha"] == 16.0
    assert settings["target_modules"] == ["fc1", "fc2"]


def test_a_default_adapter_is_small(tmp_path: Path) -> None:
    windows = Windows(tiny_readings(nodes=307), 12, 12)
    forecaster = create("lstm", windows, seed=0)
    forecaster.attach(STLoRA(), "default")
    folder = save_adapter(forecaster, tmp_path / "a")
    assert forecaster.after[0].rank == 8 and (folder / WEIGHTS).stat().st_size < 40_000


def test_several_by_name(tmp_path: Path) -> None:
    batch = SUBJECT.batch()
    one, two = adapted(seed=1), adapted(seed=2, injection="predictor")
    folders = [save_adapter(each, tmp_path / f"{i}") for i, each in enumerate((one, two))]
    base = SUBJECT.build()
    for name, folder in zip(("one", "two"), folders, strict=True):
        load_adapter(base, folder, name)
    assert list(base.adapters) == ["one", "two"]
    for name, each in (("one", one), ("two", two)):
        with base.adapted_by(name):
            assert torch.equal(base.forecast(batch), each.forecast(batch))
    with base.adapted_by("one", "two"):
        both = base.forecast(batch)
    assert torch.equal(base.forecast(batch), both), "outside, all that are loaded act"
    checks.refused(load_adapter, base, folders[0], "one", match="already an adapter 'one'")
    checks.refused(base.detach, "on", match="no adapter 'on', did you mean 'one'|no adapter 'on'")
    checks.refused(save_adapter, base, tmp_path / "c", match="name one")


def test_it_is_refused_where_it_does_not_belong(tmp_path: Path) -> None:
    folder = save_adapter(adapted(), tmp_path / "a")
    base = SUBJECT.build()
    other = SUBJECT.build(seed=3)
    checks.refused(load_adapter, other, folder, match="another base")
    load_adapter(other, folder, force=True)
    checks.refused(load_adapter, base.renode([1, 0, 2, 3, 4]), folder, match="other sensors")
    checks.refused(load_adapter, base.renode([0, 1, 2]), folder, match="num_nodes 5, this base has 3")
    checks.refused(load_adapter, base.renode([0, 1, 2]), folder, force=True, match="num_nodes 5, this base has 3")
    short = create("stgcn", tiny_windows(Sizes(horizon=2)), seed=0)
    checks.refused(load_adapter, short, folder, match="horizon 3, this base has 2")
    scaled = SUBJECT.build(Sizes(scaler="node"))
    checks.refused(load_adapter, scaled, folder, match="scaled in another way")
    assert not base.adapters


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    base = SUBJECT.build()
    checks.refused(load_adapter, base, tmp_path / "none", match="there is no adapter")
    folder = save_adapter(adapted(), tmp_path / "a")
    settings = json.loads((folder / CONFIG).read_text())
    for text in ("{", "[]", "{}"):
        (folder / CONFIG).write_text(text)
        checks.refused(load_adapter, base, folder, match="damaged or no adapter")
    settings["fieldcast"]["hyper"]["rank"] = 3
    (folder / CONFIG).write_text(json.dumps(settings))
    checks.refused(load_adapter, base, folder, match="do not fit its settings")
    settings["fieldcast"]["hyper"]["rank"] = "many"
    (folder / CONFIG).write_text(json.dumps(settings))
    checks.refused(load_adapter, base, folder, match="takes no rank 'many'")
    settings["fieldcast"]["hyper"] |= {"rank": 2, "hidden": 10**12}
    (folder / CONFIG).write_text(json.dumps(settings))
    checks.refused(load_adapter, base, folder, match="do not fit its settings|do not fit together")
    for hyper in ([1], "rank", 7):
        (folder / CONFIG).write_text(json.dumps(settings | {"fieldcast": settings["fieldcast"] | {"hyper": hyper}}))
        checks.refused(load_adapter, base, folder, match="do not fit")
    settings["fieldcast"]["hyper"]["hidden"] = 12
    (folder / CONFIG).write_text(json.dumps(settings))
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-10])
    checks.refused(load_adapter, base, folder, match="absent or damaged")
    state = load_file(folder / WEIGHTS) if (folder / WEIGHTS).write_bytes(data) else {}
    save_file({name: tensor + 1 for name, tensor in state.items()}, folder / WEIGHTS)
    checks.refused(load_adapter, base, folder, match="its SHA-256 differs")
    assert not base.adapters
    (folder / WEIGHTS).write_bytes(data)
    load_adapter(base, folder)


def test_numbers_that_are_not_finite_are_told(tmp_path: Path) -> None:
    forecaster = adapted()
    with torch.no_grad():
        forecaster.after[0].lora_E[0, 1, 0] = float("nan")  # type: ignore[index]
    folder = save_adapter(forecaster, tmp_path / "a")
    checks.refused(load_adapter, SUBJECT.build(), folder, match=r"lora_E.* that are not finite")


def test_it_has_a_folder_of_its_own(tmp_path: Path) -> None:
    base = save(SUBJECT.build(), tmp_path / "base")
    checks.refused(save_adapter, adapted(), base, match="a folder of its own")


def test_its_folder_predicts_with_the_base_beside_it(tmp_path: Path) -> None:
    forecaster, batch = adapted(), SUBJECT.batch()
    base = save(SUBJECT.build(), tmp_path / "runs" / "base")
    folder = save_adapter(forecaster, tmp_path / "runs" / "lora", base=base)
    assert torch.equal(load(folder).forecast(batch), forecaster.forecast(batch))
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert torch.equal(load(tmp_path / "moved" / "lora").forecast(batch), forecaster.forecast(batch))
    (tmp_path / "moved" / "base").rename(tmp_path / "moved" / "elsewhere")
    checks.refused(load, tmp_path / "moved" / "lora", match="the base of the adapter")


def test_the_fingerprint_is_that_of_the_saved_base(tmp_path: Path) -> None:
    base = save(SUBJECT.build(), tmp_path / "base")
    sums = dict(reversed(line.split("  ")) for line in (base / SUMS).read_text().splitlines())
    assert fingerprint(adapted()) == sums["model.safetensors"]


def test_a_forecaster_with_its_adapter_is_saved_whole(tmp_path: Path) -> None:
    forecaster, batch = adapted(injection="both"), SUBJECT.batch()
    whole = load(save(forecaster, tmp_path / "whole"))
    assert torch.equal(whole.forecast(batch), forecaster.forecast(batch))
    assert not whole.adapters, "it is a stage of the whole now"
    with forecaster.adapted_by():
        checks.refused(save, forecaster, tmp_path / "b", match="switched off")


def test_a_copy_has_an_adapter_of_its_own() -> None:
    forecaster, batch = adapted(injection="predictor"), SUBJECT.batch()
    before = forecaster.forecast(batch)
    copy = deepcopy(forecaster)
    with torch.no_grad():
        for parameter in copy.after[0].parameters():
            parameter.zero_()
    assert torch.equal(forecaster.forecast(batch), before) and not torch.equal(copy.forecast(batch), before)


# In the weights


@pytest.mark.parametrize("tune_head", [False, True])
def test_merged_it_says_the_same_and_unmerged_it_left_no_trace(tmp_path: Path, tune_head: bool) -> None:
    forecaster = adapted(injection="predictor", node_mode="shared", tune_head=tune_head).double()
    batch = SUBJECT.batch()
    x, ctx = forecaster.prepare(batch)
    before = {name: tensor.clone() for name, tensor in forecaster.state_dict().items()}
    with torch.no_grad():
        factored = forecaster(x.double(), ctx)
        forecaster.merge("default")
        forecaster.merge("default")
        assert not torch.equal(forecaster.backbone.fc1.weight, before["backbone.fc1.weight"])  # type: ignore[union-attr]
        merged = forecaster(x.double(), ctx)
        for _ in range(3):
            forecaster.train().eval()
        assert torch.equal(forecaster(x.double(), ctx), merged)
        assert (merged - factored).abs().max() <= 1e-12 * factored.abs().max()
        checks.refused(save, forecaster, tmp_path / "a", match="merged")
        checks.refused(save_adapter, forecaster, tmp_path / "b", match="unmerge it first")
        forecaster.unmerge("default")
    assert all(torch.equal(tensor, before[name]) for name, tensor in forecaster.state_dict().items())
    assert torch.equal(forecaster(x.double(), ctx), factored)


def test_a_merged_adapter_is_not_lost(tmp_path: Path) -> None:
    plain = {"injection": "predictor", "node_mode": "shared"}
    forecaster = adapted(**plain)
    with seeded(5):
        forecaster.attach(STLoRA(rank=1, **plain), "two")  # type: ignore[arg-type]
    forecaster.merge("default")
    checks.refused(forecaster.merge, "two", match="'default' is merged already")
    checks.refused(forecaster.renode, [0, 1], match="unmerge it first")
    checks.refused(forecaster.detach, "default", match="before it is detached")
    checks.refused(forecaster.adapted_by("two").__enter__, match="unmerge it to switch it off")
    forecaster.unmerge("default")
    forecaster.detach("default")
    assert list(forecaster.adapters) == ["two"]


@pytest.mark.parametrize("settings", [{}, {"injection": "predictor"}, {"injection": "both", "node_mode": "shared"}])
def test_what_is_not_one_matrix_is_not_merged(settings: dict[str, Any]) -> None:
    checks.refused(adapted(**settings).merge, "default", match="cannot be merged")


@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments.*fieldcast")  # our own settings, in one table
def test_stock_peft_opens_plain_lora(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    forecaster, batch = adapted(injection="predictor", node_mode="shared"), SUBJECT.batch()
    folder = save_adapter(forecaster, tmp_path / "a")
    x, ctx = forecaster.prepare(batch)
    opened = peft.PeftModel.from_pretrained(SUBJECT.build().backbone, str(folder))
    with torch.no_grad():
        got, expected, base = opened(x, ctx), forecaster(x, ctx), SUBJECT.build().backbone(x, ctx)
    assert checks.close(got, expected, 1e-6) and not checks.close(got, base, 1e-3)


# What trains


@pytest.mark.parametrize("backbone", ["graph_wavenet", "lstm"])
def test_finetuning_leaves_every_bit_of_the_base(backbone: str) -> None:
    subject = Subject(backbone, ("st_lora",), last=(("injection", "both"), ("rank", 2)))
    forecaster = subject.build(stirred=False)
    freeze(forecaster, "finetune")
    before = {name: tensor.clone() for name, tensor in forecaster.state_dict().items()}
    with seeded(0):
        train_steps(forecaster.train(), subject.windows(Sizes()), 4)
    assert not forecaster.train().backbone.training and forecaster.after.training
    changed = {name for name, tensor in forecaster.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"after.0.{name}" for name in forecaster.after[0].state_dict()}


def test_codes_alone(tmp_path: Path) -> None:
    for settings, own in (({}, {"lora_E"}), ({"node_mode": "full_A", "layers": 1}, {"blocks.0.layers.0.lora_A"})):
        forecaster = adapted(**settings)
        freeze(forecaster, "codes")
        trained = {name for name, each in forecaster.after[0].named_parameters() if each.requires_grad}
        assert trained == own
        assert not any(each.requires_grad for each in forecaster.backbone.parameters())
    with pytest.raises(FieldcastError, match="nothing is left to train"):
        freeze(adapted(node_mode="shared"), "codes")
    with pytest.raises(FieldcastError, match="no mode 'lora'"):
        freeze(adapted(), "lora")  # type: ignore[arg-type]


def test_what_is_frozen_stands_still() -> None:
    forecaster = adapted().train()
    assert forecaster.backbone.training
    freeze(forecaster, "finetune")
    forecaster.train()
    assert not any(module.training for module in forecaster.backbone.modules())
    assert all(module.training for module in forecaster.after[0].modules())
    assert not forecaster.eval().after[0].training
