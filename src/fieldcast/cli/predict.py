"""fieldcast predict: what the sensors will read next."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options, made

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.data.forecast import Forecast


def run(argv: Sequence[str]) -> None:
    from fieldcast.forecaster import load, predict
    from fieldcast.workflows.options import ReadingsOptions
    from fieldcast.workflows.running import readings_as_trained

    options = Options(
        "predict",
        "Forecast new readings of the same sensors from a saved run, to Parquet or CSV. How to read them is taken from "
        "the run where you say nothing: format, frequency, timezone, unordered, repeated, fill-gap, null-rule.",
    )
    options.position("run", "folder of the run, or of one saved forecaster in it")
    options.add(ReadingsOptions)
    origins_help = "times of the last reading to use; 'all' for every row; default the latest"
    options.option("origins", list[str], None, origins_help, many=True)
    options.option("out", str, "forecast.parquet", "file to write, .parquet or .csv")
    options.plugin()
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print a summary as JSON")
    values = options.parse(argv)
    output = Output(values["quiet"], values["json"])
    forecaster = load(values["run"])
    given = made(ReadingsOptions, values)
    readings = readings_as_trained(values["run"], given).open()
    origins = values["origins"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forecast = predict(forecaster, readings, "all" if origins == ["all"] else origins)
    for warning in caught:
        if warning.category is UserWarning:
            output.say(f"note: {warning.message}")
    path = forecast.write(values["out"])
    frame = forecast.to_frame()
    summary = {
        "out": str(path), "rows": len(frame), "origins": len(forecast.origin), "steps": forecast.values.shape[1],
        "nodes": len(forecast.nodes), "targets": list(forecast.targets), "units": forecast.units,
    }  # fmt: skip
    output.result(f"{forecast!r}\n{_head(forecast, frame)}\nwritten to {path} ({len(frame)} rows)", summary)


def _head(forecast: Forecast, frame: pd.DataFrame) -> str:
    """The first rows, with times on the wall clock."""
    head = frame.head(5).drop(columns="local_time", errors="ignore")
    head = head.assign(**{name: forecast.local_time(head[name].to_numpy()) for name in ("origin", "time")})
    return head.to_string(index=False)
