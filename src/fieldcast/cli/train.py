"""fieldcast train: a backbone on your readings, beside simple baselines, with several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options, read_config, take
from fieldcast.errors import FieldcastError

_NOT_SETTINGS = ("backbone", "recipe", "stages", "out", "config", "plugin", "resume", "quiet", "json")


def run(argv: Sequence[str]) -> None:
    from fieldcast.cli.stages import StageOptions
    from fieldcast.core.backbone import Backbone
    from fieldcast.core.registry import BACKBONES, STAGES
    from fieldcast.training import TrainingOptions
    from fieldcast.workflows.board import board_table
    from fieldcast.workflows.options import BASELINES, CONFIG, TUNED, ReadingsOptions, RunOptions, WindowOptions
    from fieldcast.workflows.running import run as run_workflow

    files, argv = take(argv, "config")
    if not files and "--resume" in argv:  # the run itself says what it is
        files = [str(Path(out) / CONFIG) for out in take(argv, "out")[0][-1:] if (Path(out) / CONFIG).exists()]
    config = read_config(files[-1]) if files else {}
    tuned = {name: config.pop(name) for name in TUNED if name in config}  # a run on another, as adapt writes it
    names, argv = take(argv, "backbone")
    model = config.pop("backbone", {})
    if isinstance(model, str):
        model = {"name": model}
    if not isinstance(model, dict):
        raise FieldcastError("'backbone' in the configuration is neither a name nor settings: write 'backbone: stid'.")
    named = str(model.pop("name", None) or "stid")
    chosen = names[-1] if names else named
    if tuned and chosen != named:
        raise FieldcastError(
            f"{files[-1]} is of a run on {tuned.get('base')}, which has a {named}: leave --backbone out."
        )
    if chosen != named:
        model = {}  # the file's settings are those of another backbone
    backbone = BACKBONES.get(chosen)
    assert issubclass(backbone, Backbone)
    recipes, argv = take(argv, "recipe")
    if recipes:  # what the file and the command line say comes before it
        recipe = backbone.recipe(recipes[-1])
        config, model = {**recipe.training, **config}, {**recipe.hyper, **model}

    beside, argv = take(argv, "stages", many=True)
    stages = StageOptions(beside, argv, config.pop("stages", {}))
    argv, config = stages.argv, {**stages.training, **config}

    options = Options("train", f"Train a backbone (now {chosen}), score it beside simple baselines, save it.")
    options.add(ReadingsOptions)
    options.add(WindowOptions)
    options.add_group(backbone, "backbone", skip=["spec"])
    options.add(TrainingOptions)
    options.option("seeds", list[int], [0], "seeds, one training run each", many=True)
    options.option("baselines", list[str], list(BASELINES), "baselines to score beside it", many=True)
    stages.add(options)
    options.option("stages", list[str], None, f"stages beside the backbone: {', '.join(STAGES.names())}", many=True)
    options.option("recipe", str, None, f"settings as published: {', '.join(backbone.recipes) or 'there are none'}")
    options.option("out", str, None, "folder of the run")
    options.option("config", str, None, "YAML file with any of these settings, such as the config.yaml of a run")
    options.plugin()
    options.flag("resume", "go on with the run in --out where it was interrupted; its settings need not be given again")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the scores as JSON")
    for forbidden in ("plugin", "config", "out", "recipe"):
        if forbidden in config:
            raise FieldcastError(f"a configuration file cannot set '{forbidden}': give it on the command line.")
    config |= ({"backbone": model} if model else {}) | stages.config()
    values = options.parse(argv, config)
    if values["out"] is None:
        raise FieldcastError("--out is needed: the folder of the run, such as --out runs/a.")
    output = Output(values["quiet"], values["json"])
    told = {"stages": stages.of(values), **tuned}
    told |= {name: value for name, value in values.items() if name not in _NOT_SETTINGS}
    settings = RunOptions.from_json({**told, "backbone": {"name": chosen, **(values.get("backbone") or {})}})
    board = run_workflow(settings, values["out"], resume=values["resume"], progress=output.progress, say=output.say)
    output.result(board_table(board) + f"\n\nsaved in {values['out']}", board)
