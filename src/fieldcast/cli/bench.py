"""fieldcast bench: what backbones cost on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options, made
from fieldcast.errors import FieldcastError, did_you_mean

KINDS = {
    "speed": "inference and training step of each backbone, with FLOPs and the share of the machine's matmul peak",
    "memory": "peak memory of each backbone, in a process of its own",
    "scale": "step time and peak memory over numbers of nodes, with the exponents",
    "startup": "how long each command takes to start",
}


def run(argv: Sequence[str]) -> None:
    words = list(argv)
    kind = words.pop(0) if words and not words[0].startswith("-") else ""
    if not kind and not {"-h", "--help"} & set(words):
        raise FieldcastError(f"bench needs a kind: choose {', '.join(KINDS)}.")
    if kind and kind not in KINDS:
        raise FieldcastError(f"there is no bench '{kind}'{did_you_mean(kind, KINDS)}: choose {', '.join(KINDS)}.")
    if not kind:
        print("fieldcast bench: what backbones cost on this machine\n\nusage: fieldcast bench KIND [options]\n\nkinds:")
        print("\n".join(f"  {name:<7}  {what}" for name, what in KINDS.items()))
        return
    from fieldcast.data.files import write_atomically

    options = Options(f"bench {kind}", f"Measure {KINDS[kind]}.")
    if kind != "startup":
        from fieldcast.workflows.bench.subject import Size

        said = "backbones to measure, as name or name:setting=value,...; left out, all that are trained"
        options.option("backbones", list[str], None, said, many=True)
        options.add(Size, skip=["nodes"] if kind == "scale" else [])
        if kind == "scale":
            options.option("nodes", list[int], [200, 1000, 5000], "numbers of sensors", many=True)
        options.option("device", str, "auto", "auto, cpu or cuda")
        options.option("threads", int, None, "threads of torch; left out, torch's own choice")
        options.plugin()
    if kind != "memory":
        options.option("rounds", int, 7 if kind == "speed" else 3, "rounds that count")
    options.option("out", str, None, "file to write the figures to, as JSON")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the figures as JSON")
    values = options.parse(words)
    if values.get("rounds", 1) < 1:
        raise FieldcastError(f"--rounds is {values['rounds']}: give at least 1.")
    output = Output(values["quiet"], values["json"])
    result = _measure(kind, values, output)
    result["command"] = " ".join(["fieldcast", "bench", *argv])
    if values["out"]:
        write_atomically(Path(values["out"]), json.dumps(result, indent=1, allow_nan=False) + "\n")
    output.result(_table(kind, result), result)


def _measure(kind: str, values: dict[str, Any], output: Output) -> dict[str, Any]:
    from fieldcast.workflows import bench

    if kind == "startup":
        from fieldcast.cli.__main__ import COMMANDS

        return bench.measure_startup(list(COMMANDS), rounds=values["rounds"], say=output.say)
    if values["threads"] is not None:
        import torch

        if values["threads"] < 1:
            raise FieldcastError(f"--threads is {values['threads']}: give at least 1.")
        torch.set_num_threads(values["threads"])
    known = bench.trained_backbones()
    names = values["backbones"] or known
    for name in (bench.with_settings(each)[0] for each in names):
        if name not in known:
            raise FieldcastError(
                f"there is no trained backbone '{name}'{did_you_mean(name, known)}: choose {', '.join(known)}."
            )
    shared = {"device": values["device"], "say": output.say}
    if kind == "scale":
        size = made(bench.Size, {**values, "nodes": 1})
        return bench.measure_scale(names, size, values["nodes"], rounds=values["rounds"], **shared)
    size = made(bench.Size, values)
    if kind == "memory":
        return bench.measure_memory(names, size, **shared)
    return bench.measure_speed(names, size, rounds=values["rounds"], **shared)


def _table(kind: str, result: dict[str, Any]) -> str:
    from fieldcast.evaluation import format_table

    if kind == "startup":
        rows: list[dict[str, Any]] = [
            {"process": name, "median ms": each["median"], "min": each["min"], "max": each["max"]}
            for name, each in result["commands"].items()
        ]
        return format_table(rows, 0)
    size = ", ".join(f"{name} {value}" for name, value in result["size"].items() if (kind, name) != ("scale", "nodes"))
    head = f"{size}; {result['environment']['device']}, {result['environment']['threads']} threads"
    if kind == "speed":
        head += f"; matmul peak {result['matmul_peak_gflops']:.0f} GFLOP/s"
        rows = [
            {
                "backbone": each["backbone"], "parameters": each["parameters"], "GFLOP": each["gflop"],
                **{
                    f"{name} {what}": each[name][key]
                    for name in ("inference", "step")
                    for what, key in (
                        ("ms", "median"), ("samples/s", "samples_per_second"), ("% of peak", "percent_of_peak"),
                        ("ratio", "ratio_to_first"),
                    )
                },
            }
            for each in result["backbones"]
        ]  # fmt: skip
    elif kind == "memory":
        rows = [
            {"backbone": each["backbone"]}
            | {
                f"{name} {what}": each[name].get(key, "failed") if name in each else None
                for name in ("inference", "step", "recomputed")
                for what, key in (("peak MB", "peak_mb"), ("before", "before_mb"))
            }
            for each in result["backbones"]
        ]
    else:
        rows = [
            {
                "backbone": each["backbone"], "cost": each["cost"] or "-", "nodes": point["nodes"],
                "step ms": point["milliseconds"]["median"] if "milliseconds" in point else point["failed"],
                "peak MB": point.get("peak_mb"), "time ~ N^": each["time_exponent"],
                "memory ~ N^": each["memory_exponent"],
            }
            for each in result["backbones"]
            for point in each["points"]
        ]  # fmt: skip
    return f"{head}\n{format_table(rows)}"
