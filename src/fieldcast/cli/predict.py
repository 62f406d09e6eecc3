"""fieldcast predict: what the sensors will read next."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options


def run(argv: Sequence[str]) -> None:
    from fieldcast.forecaster import load, predict
    from fieldcast.workflows.options import ReadingsOptions

    options = Options("predict", "Forecast new readings of the same sensors from a saved run, to Parquet or CSV.")
    options.position("run", "folder of the run, or of one saved forecaster in it")
    options.add(ReadingsOptions)
    options.option("origins", list[str], None, "times of the last reading to use; 'all' for every row; default the latest", many=True)
    options.option("out", str, "forecast.parquet", "file to write, .parquet or .csv")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print a summary as JSON")
    values = options.parse(argv)
    output = Output(values["quiet"], values["json"])
    forecaster = load(values["run"])
    readings = ReadingsOptions(**{each.name: values[each.name] for each in dataclasses.fields(ReadingsOptions)}).open()
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
    output.result(f"{forecast!r}\n{frame.head(5).to_string(index=False)}\nwritten to {path} ({len(frame)} rows)", summary)
