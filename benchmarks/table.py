"""Write what backbones cost as tables, beside the public figures, from the JSON of ``fieldcast bench``.

python benchmarks/table.py

public.json and results/{speed*,memory*,scale*,ratios,operations,tried,gpu,replay}.json become results/backbones.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fieldcast.data.files import write_atomically
from fieldcast.workflows.tables import markdown_table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = RESULTS / "backbones.md"


def page() -> str:
    """The whole page in Markdown."""
    public = _read(HERE / "public.json")
    ratios, operations = (_read(RESULTS / f"{kind}.json") for kind in ("ratios", "operations"))
    tried, gpu, replay = (_read(RESULTS / f"{kind}.json") for kind in ("tried", "gpu", "replay"))
    speeds = [_read(path) for path in sorted(RESULTS.glob("speed*.json"))]
    memories = [_read(path) for path in sorted(RESULTS.glob("memory*.json"))]
    scales = [_read(path) for path in sorted(RESULTS.glob("scale*.json"))]
    parts = [
        "# What backbones cost",
        "Made by `python benchmarks/table.py` from the figures of the commands below; 'public' is "
        f"{public['what']} ({public['machine']}; matmul peak {public['matmul_peak_gflops']} GFLOP/s, first touch of "
        f"fresh memory {public['first_touch_gb_per_second']} GB/s).",
        "## Inference and training step",
        *(part for kind in ("inference", "step") for part in _tables(speeds, partial(_speed_row, kind, public))),
        "Medians, [least to most]. "
        "Times on different machines are not to be divided by each other; shares of each machine's own peak may be set "
        "side by side. Ours runs with large pages, the public versions as glibc ships memory. STGCN's public version "
        "holds layers that it never uses. A step counts as three times the arithmetic of its forward pass.",
        "## Beside the same models written as public code has them",
        _paired(ratios["rows"]),
        *(markdown_table([_ratio_row(each, kind) for each in ratios["rows"]]) for kind in ("inference", "step")),
        "## Where the time goes",
        f"`{operations['command']}`: percent of the time in each operation of torch, of 2 percent and more.",
        markdown_table([_operations_row(each) for each in operations["backbones"]]),
        "Where most of the time is in products (`mm`, `addmm`, `bmm`, `baddbmm`; in STAEformer "
        "`mkldnn_convolution`), those bound, and the ones of few columns (32 to 64 channels) or by edges (`mm` with a "
        "sparse support) move more than they multiply. The rest is functions of each element and copies.",
        "### What bounds an inference",
        f"Of the same run, beside the median time of {operations['backbones'][0]['inference_ms']['rounds']}: what its "
        f"multiplications would take at the peak of a large product ({operations['matmul_peak_gflops']:.0f} GFLOP/s), "
        "and what its operations read and write, each tensor once an operation, at the speed of a copy "
        f"({operations['copy_gb_per_second']:.0f} GB/s). The two add up on a processor that cannot do both at once; "
        "what is in its caches costs less than this.",
        markdown_table([_bound_row(each, operations) for each in operations["backbones"]]),
        "Graph WaveNet and D2STGNN have to move for longer than they have to multiply: if the two add up, half of the "
        "peak is out of reach for the same operations in any order. Graph WaveNet, AGCRN and DCRNN need well over the "
        "sum: the products of Graph WaveNet have 32 columns and rows, far from the 2,048 of the peak's product. "
        "D2STGNN has a graph of its own for each window. In the products by edges of STGCN and DCRNN a row of 16 to 64 "
        "numbers is read for each edge. The LSTM is one operation of oneDNN, which takes twice the sum or more.",
        "### Other forms",
        f"`{tried['command']}`: kept form over tried, medians of paired rounds [least to most]; above 1 the tried form "
        "is faster. Below 1 and kept for it are STAEformer's maps by convolution, and its first queries made of their "
        "parts.",
        markdown_table([_tried_row(each) for each in tried["rows"]]),
        "## Peak memory",
        *_tables(memories, partial(_memory_row, public)),
        "Of the whole process, in MB; `before` is Python and torch without a model. `recomputed` is a step whose "
        "blocks are computed again in the backward pass (`fieldcast train --recompute true`).",
        "## On a GPU",
        f"`{gpu['command']}` on one {gpu['machine']['gpu']}, torch {gpu['versions']['torch']}, "
        f"{gpu['rows'][0]['nodes']} nodes, medians; float32, but that cuDNN (convolutions and recurrences of STGCN, "
        "the LSTM and D2STGNN) multiplies in TF32, which is torch's default. Memory is the most that torch allocated. "
        "Differences from the CPU are norms of the difference over norms of the CPU's, same weights, mini-batches of "
        "4, gradients without cuDNN.",
        markdown_table([*map(_gpu_row, gpu["rows"])]),
        "Launched kernel by kernel, AGCRN, DCRNN and D2STGNN, which start many small ones, reach a small share of "
        "its matmul peak, and what saves a CPU's memory traffic gains nothing for STAEformer here (its form before the "
        "first queries were multiplied part by part and its sums made in place). The ratios are of rounds of their "
        "own, in which ours was at times faster than in the columns before. Where one failed, layers of the plain form "
        "stood on the CPU (mended since, not measured anew).",
        "### Steps captured and replayed",
        f"`{replay['command']}` on one {replay['machine']['gpu']}, torch {replay['versions']['torch']}, "
        f"{replay['rows'][0]['nodes']} nodes: milliseconds a step of a training run, its loop and validation included, "
        "launched kernel by kernel (two runs) and replayed from CUDA graphs (which training on a GPU does where "
        "backbone, stages and task say that it can be; `--cuda-graphs false` switches it off), and by how much "
        "replaying is faster than the faster of the two. Memory is the most that torch reserved. The last two "
        "columns are the largest relative difference of an epoch's losses from those of a run without graphs, with "
        "graphs and in a second run without.",
        markdown_table([*map(_replay_row, replay["rows"])]),
        "Medians of two epochs of 13 steps, on simulated readings. STAEformer's kernels are large enough to keep the "
        "GPU busy either way. The LSTM is not captured: replayed on `nycbike_drop` it ended in an illegal memory "
        "access. Nor is D2STGNN, whose recurrence is cuDNN's too.",
        "## Growth with the number of sensors",
        "A training step and the peak memory of its process; the exponents are least-squares slopes of log over log, "
        "that of memory for what lies above an empty process.",
        *(part for scale in scales for part in _tables([scale], partial(_scale_row, scale))),
    ]
    return "\n\n".join(parts) + "\n"


def _replay_row(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "backbone": each["backbone"], "windows": each["batch_size"],
        "ms": f"{each['ms']['plain']:.1f}, {each['ms']['plain again']:.1f}",
        "ms, replayed": f"{each['ms']['graphs']:.1f}", "times as fast": f"{each['ratio']:.2f}",
        "MB": each["reserved_mb"]["plain"], "MB, replayed": each["reserved_mb"]["graphs"],
        "losses differ": f"{each['same']['graphs']:.1g}", "without graphs": f"{each['same']['plain again']:.1g}",
    }  # fmt: skip


def _tables(results: list[dict[str, Any]], row: Callable[[dict[str, Any]], dict[str, Any]]) -> list[str]:
    """Of each result how it was measured, and a table with a row a backbone."""
    return [part for each in results for part in (_conditions(each), markdown_table([*map(row, each["backbones"])]))]


def _conditions(result: dict[str, Any]) -> str:
    size, where = result["size"], result["environment"]
    nodes = f"{size['nodes']} nodes, " if size["nodes"] > 1 else ""
    variables = ", ".join(f"{name}={value}" for name, value in where["variables"].items())
    peak = f", matmul peak {result['matmul_peak_gflops']} GFLOP/s" if "matmul_peak_gflops" in result else ""
    return (
        f"`{result['command']}`: {nodes}{size['lookback']} -> {size['horizon']} steps, {size['channels']} channel, "
        f"mini-batches of {size['batch_size']}; {where['device']}, {where['threads']} threads, "
        f"{result['machine']['cores']} cores {result['machine']['cpu']}, torch "
        f"{result['versions']['torch']}{f', {variables}' if variables else ''}{peak}."
    )


def _speed_row(kind: str, public: dict[str, Any], each: dict[str, Any]) -> dict[str, Any]:
    found, other = each[kind], public["backbones"].get(each["backbone"])
    row: dict[str, Any] = {
        "backbone": each["backbone"], "parameters": f"{each['parameters']:,}", "GFLOP forward": f"{each['gflop']:.1f}",
        f"{kind} ms": f"{found['median']:.0f} [{found['min']:.0f} to {found['max']:.0f}]",
        "samples/s": f"{found['samples_per_second']:.0f}", "% of peak": f"{found['percent_of_peak']:.0f}",
        "public": None, "public parameters": None, "public ms": None, "public % of peak": None,
    }  # fmt: skip
    if other:
        theirs, peak = other[f"{kind}_ms"], public["matmul_peak_gflops"]
        times = 1 if kind == "inference" else 3
        row |= {
            "public": other["source"], "public parameters": f"{other['parameters']:,}", "public ms": f"{theirs}",
            "public % of peak": f"{100 * times * other['gflop'] * 1e3 / theirs / peak:.0f}",
        }  # fmt: skip
    return row


def _paired(rows: list[dict[str, Any]]) -> str:
    rounds = {each["same_environment"]["step"]["ours"]["rounds"] for each in rows}
    where = rows[0]["environment"]
    variables = ", ".join(f"{name}={value}" for name, value in where["variables"].items())
    return (
        f"`{rows[0]['command']}` and alike for other sizes: how many times as fast ours is as `benchmarks/plain`, the "
        "same models with the same weights and outputs, written as the public code writes them; medians of "
        f"{'/'.join(map(str, sorted(rounds)))} paired rounds [least to most], steps in training mode; "
        f"{where['threads']} threads, {rows[0]['machine']['cores']} cores {rows[0]['machine']['cpu']}, torch "
        f"{rows[0]['versions']['torch']}. Same environment: both in one process under {variables}. As shipped: each in "
        "fresh processes, the plain one with the system's defaults, ours with what the command `fieldcast` sets. "
        "Milliseconds are of different days, as the peaks show, and are not to be compared between rows."
    )


def _ratio_row(each: dict[str, Any], kind: str) -> dict[str, Any]:
    same, shipped = each["same_environment"], each["as_shipped"]
    row: dict[str, Any] = {
        "backbone": each["backbone"],
        "nodes": str(each["nodes"]),
        "windows": str(each["batch_size"]),
    }
    for name, found in (("same environment", same), ("as shipped", shipped)):
        ratios = found[kind]["ratios"]
        row[f"{kind}, {name}"] = f"{found[kind]['ratio']:.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"
    for which in ("ours", "plain"):
        row[f"{which} ms"] = f"{same[kind][which]['median']:.0f}"
    row["peak, GFLOP/s"] = f"{same['matmul_peak_gflops']:.0f}"
    for which in ("ours", "plain"):
        row[f"{which} % of peak"] = f"{same[kind]['percent_of_peak'][which]:.0f}"
    return row


def _operations_row(each: dict[str, Any]) -> dict[str, Any]:
    kinds = {
        kind: ", ".join(f"{name} {share:.0f}" for name, share in each[kind].items()) for kind in ("inference", "step")
    }
    return {"backbone": each["backbone"], **kinds}


def _bound_row(each: dict[str, Any], operations: dict[str, Any]) -> dict[str, Any]:
    gflop, moved, took = each["gflop"], each["gigabytes"]["inference"], each["inference_ms"]["median"]
    at_the_peak = 1e3 * gflop / operations["matmul_peak_gflops"]
    return {
        "backbone": each["backbone"], "windows": str(each["batch_size"]), "GFLOP": f"{gflop:.1f}", "GB": f"{moved:.1f}",
        "at the peak, ms": f"{at_the_peak:.0f}",
        "moved at a copy's speed, ms": f"{1e3 * moved / operations['copy_gb_per_second']:.0f}",
        "measured, ms": f"{took:.0f}", "% of peak": f"{100 * at_the_peak / took:.0f}",
    }  # fmt: skip


def _tried_row(each: dict[str, Any]) -> dict[str, Any]:
    least, most = min(each["ratios"]), max(each["ratios"])
    return {
        "tried": each["what"], "kept over tried": f"{each['ratio']:.2f} [{least:.2f} to {most:.2f}]",
        "kept ms": f"{each['kept']['median']:.1f}", "tried ms": f"{each['tried']['median']:.1f}",
    }  # fmt: skip


def _memory_row(public: dict[str, Any], each: dict[str, Any]) -> dict[str, Any]:
    other = public["backbones"].get(each["backbone"], {})
    row: dict[str, Any] = {"backbone": each["backbone"], "before": f"{each['inference']['before_mb']:.0f}"}
    for kind in ("inference", "step", "recomputed"):
        row[kind] = f"{each[kind]['peak_mb']:.0f}" if "peak_mb" in each.get(kind, {}) else None
    return row | {f"public {kind}": _text(other.get(f"{kind}_mb")) for kind in ("inference", "step")}


def _gpu_row(each: dict[str, Any]) -> dict[str, Any]:
    took, mb = (each["costs"].get(part, {}) for part in ("milliseconds", "mb"))
    ratio, same = each.get("ratio", {}), each["same"]
    row: dict[str, Any] = {"backbone": each["backbone"], "windows": str(each["batch_size"])}
    for kind in ("inference", "step", "step in bf16"):
        row[f"{kind} ms"] = f"{took[kind]['median']:.1f}" if kind in took else "failed"
    row |= {f"{kind} MB": f"{mb[kind]:.0f}" if kind in mb else None for kind in ("step", "step, recomputed")}
    for kind in ("inference", "step"):
        found = ratio.get(kind)
        row[f"{kind}, plain over ours"] = f"{found['ratio']:.2f}" if found else "failed" if "failed" in ratio else None
    row["% of peak"] = _text(ratio.get("inference", {}).get("percent_of_peak", {}).get("ours"))
    return row | {f"{kind}'s difference": f"{same[kind]:.0e}" for kind in ("forecast", "gradient") if kind in same}


def _scale_row(scale: dict[str, Any], each: dict[str, Any]) -> dict[str, Any]:
    counts = sorted({point["nodes"] for other in scale["backbones"] for point in other["points"]})
    points = {point["nodes"]: point for point in each["points"]}
    row: dict[str, Any] = {"backbone": each["backbone"], "cost": each["cost"]}
    for count in counts:
        point = points.get(count, {})
        took = point.get("milliseconds")
        row[f"N = {count:,}"] = f"{took['median']:.0f} ms, {point['peak_mb']:.0f} MB" if took else None
    return row | {"time ~ N^": _text(each["time_exponent"]), "memory ~ N^": _text(each["memory_exponent"])}


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    write_atomically(PAGE, page())
    print(PAGE.read_text(encoding="utf-8"))
