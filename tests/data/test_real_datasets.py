"""Every real dataset opens and gives the numbers of its README, and so do the raw layouts beside them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fieldcast.data.formats import open_readings
from fieldcast.data.formats.tgcn_pair import read_adjacency
from tests.datasets import dataset_path

# name: nodes, steps, frequency, missing %, first and last step, coordinates known, grid
OVERVIEW = {
    "los_loop_week": (207, 2016, "5min", 0.0, "2012-03-01T00:00", "2012-03-07T23:55", True, None),
    "metr_la_10": (10, 34272, "5min", 7.41, "2012-03-01T00:00", "2012-06-27T23:55", True, None),
    "pems08_tail": (170, 7143, "5min", 0.0, "2016-08-07T04:45", "2016-08-31T23:55", False, None),
    "nycbike1_grid": (128, 1369, "1h", 0.0, "2014-08-04T23:00", "2014-09-30T23:00", False, (16, 8)),
    "nycbike_drop": (250, 1762, "30min", 0.0, "2016-05-25T07:00", "2016-06-30T23:30", False, None),
    "montevideo_bus": (675, 744, "1h", 0.0, "2020-10-01T00:00", "2020-10-31T23:00", True, None),
    "beijing_air": (12, 35064, "1h", 1.47, "2013-03-01T00:00", "2017-02-28T23:00", True, None),
    "noaa_daily": (137, 1461, "1D", 8.90, "1990-01-01T00:00", "1993-12-31T00:00", True, None),
    "sst_pacific": (2520, 399, "1MS", 10.28, "1970-01-01T00:00", "2003-03-01T00:00", True, (30, 84)),
    "era5_uk_t2m": (1617, 744, "1h", 0.0, "2019-03-01T00:00", "2019-03-31T23:00", True, (33, 49)),
}
# name: targets, and channel: mean, standard deviation, least, greatest
STATISTICS = {
    "los_loop_week": (("speed_mph",), {"speed_mph": (58.8914, 12.5269, 1, 70)}),
    "metr_la_10": (("speed_mph",), {"speed_mph": (58.6484, 12.2685, 1, 70)}),
    "pems08_tail": (("flow_veh_per_5min",), {"flow_veh_per_5min": (232.2096, 147.0625, 0, 1147)}),
    "nycbike1_grid": (
        ("inflow", "outflow"),
        {"inflow": (10.2687, 19.7036, 0, 211), "outflow": (10.2683, 19.7600, 0, 239)},
    ),
    "nycbike_drop": (("dropoffs",), {"dropoffs": (3.2697, 4.3432, 0, 82)}),
    "montevideo_bus": (("boardings",), {"boardings": (0.7459, 3.3021, 0, 101)}),
    "beijing_air": (
        ("PM2.5",),
        {
            "PM2.5": (79.7934, 80.8223, 2, 999),
            "O3": (57.3723, 56.6615, 0.2142, 1071),
            "TEMP": (13.5390, 11.4361, -19.9, 41.6),
        },
    ),
    "noaa_daily": (
        ("tmax_F",),
        {
            "tmax_F": (65.5229, 19.9566, -12, 110),
            "tmin_F": (45.3838, 18.0802, -25, 91),
            "dewpoint_F": (44.5144, 18.2635, -26.4, 78.1),
            "precip_in": (0.1173, 0.3374, 0, 10.44),
        },
    ),
    "sst_pacific": (("sst_anomaly_degC",), {"sst_anomaly_degC": (0.1387, 0.6476, -3.5828, 6.5252)}),
    "era5_uk_t2m": (("t2m_K",), {"t2m_K": (280.7741, 2.2879, 265.6802, 291.5588)}),
}


@pytest.mark.parametrize("name", OVERVIEW)
def test_the_overview(name: str) -> None:
    nodes, steps, frequency, missing, first, last, placed, grid = OVERVIEW[name]
    readings = open_readings(dataset_path(name))
    assert readings.shape[:2] == (steps, nodes) and readings.frequency == frequency
    assert round(100 * (1 - readings.observed.mean()), 2) == missing
    assert readings.time[0] == np.datetime64(first) and readings.time[-1] == np.datetime64(last)
    assert (readings.coordinates is not None) is placed and readings.grid == grid
    assert readings.meta.name == name and not readings.segment.any(), "one run without a gap"
    assert readings.meta.default_split and readings.timezone is None
    assert (np.isnan(readings.values) == ~readings.observed).all()


@pytest.mark.parametrize("name", STATISTICS)
def test_the_numbers_of_the_readme(name: str) -> None:
    targets, channels = STATISTICS[name]
    readings = open_readings(dataset_path(name))
    assert readings.targets == readings.meta.targets == targets
    for channel, expected in channels.items():
        column = readings.channel_index([channel])[0]
        cells = readings.values[..., column][readings.observed[..., column]].astype(np.float64)
        found = (cells.mean(), cells.std(), cells.min(), cells.max())
        np.testing.assert_allclose(found, expected, atol=6e-5, rtol=0, err_msg=f"{name} {channel}")


def test_missing_cells_of_beijing_by_channel() -> None:
    readings = open_readings(dataset_path("beijing_air"))
    missing = dict(zip(readings.channels, (~readings.observed).sum(axis=(0, 1)).tolist(), strict=True))
    assert missing == {
        "PM2.5": 8739, "PM10": 6449, "SO2": 9021, "NO2": 12116, "CO": 20701, "O3": 13277, "TEMP": 398, "PRES": 393,
        "DEWP": 403, "RAIN": 390, "WSPM": 318, "wd_deg": 1822,
    }  # fmt: skip


def test_zeros_are_readings_where_they_are_real() -> None:
    for name, zeros in (("pems08_tail", 0.36), ("nycbike_drop", 31), ("montevideo_bus", 80), ("nycbike1_grid", 47)):
        readings = open_readings(dataset_path(name))
        assert readings.observed.all()
        assert round(100 * float((readings.values == 0).mean()), 2 if zeros < 1 else None) == zeros
    assert int(open_readings(dataset_path("montevideo_bus")).values.sum(dtype=np.float64)) == 374595
    dew_point = open_readings(dataset_path("noaa_daily")).observed[..., 2]
    assert round(100 * (1 - dew_point.mean()), 1) == 27.7
    land = ~open_readings(dataset_path("sst_pacific")).observed
    assert land.all(axis=0).sum() == land.any(axis=0).sum() == 259


def test_the_grids_run_from_north_to_south() -> None:
    for name in ("era5_uk_t2m", "sst_pacific"):
        readings = open_readings(dataset_path(name))
        assert readings.grid is not None and readings.coordinates is not None
        latitude = readings.coordinates[:, 0].reshape(readings.grid)
        assert (np.diff(latitude, axis=0) < 0).all() and (np.diff(latitude, axis=1) == 0).all()


def test_the_data_file_is_the_folder() -> None:
    folder = dataset_path("nycbike_drop")
    assert open_readings(folder / "data.npz").hash == open_readings(str(folder)).hash


def test_the_tgcn_pair_is_the_common_form() -> None:
    folder = dataset_path("los_loop_week")
    common = open_readings(folder)
    options = {"start": "2012-03-01", "frequency": "5min", "channels": ["speed_mph"]}
    for source in (folder / "raw" / "los_speed.csv", folder / "raw"):
        raw = open_readings(source, **options)
        assert raw.hash == common.hash and raw.meta.name == "los"
    adjacency = read_adjacency(folder / "raw")
    assert adjacency.shape == (207, 207) and (adjacency == adjacency.T).all() and (adjacency > 0).sum() == 2833


def test_the_wide_table_with_zeros_missing_is_the_common_form() -> None:
    folder = dataset_path("metr_la_10")
    path = folder / "raw" / "speed_wide.parquet"
    common = open_readings(folder)
    raw = open_readings(path, null_rule="zero is missing", targets=["speed_mph"])
    assert raw.hash == common.hash
    zeros_kept = open_readings(path)
    assert zeros_kept.observed.all() and round(float(zeros_kept.values.mean(dtype=np.float64)), 4) == 54.3033


def test_the_pems_archive_is_the_common_form() -> None:
    folder = dataset_path("pems08_tail")
    common = open_readings(folder)
    options = {"start": "2016-08-07 04:45", "frequency": "5min", "channels": "flow_veh_per_5min"}
    for source in (folder / "raw" / "PEMS08_tail.npz", folder / "raw"):
        assert open_readings(source, **options).hash == common.hash


def test_a_long_table_is_the_common_form() -> None:
    pd = pytest.importorskip("pandas")
    folder = dataset_path("beijing_air")
    long = pd.read_csv(folder / "raw" / "beijing_long_2016-12_2017-02.csv")
    long["time"] = pd.to_datetime(long[["year", "month", "day", "hour"]])
    channels = ["PM2.5", "O3", "TEMP", "WSPM"]
    raw = open_readings(long, time_column="time", node_column="station", channels=channels, targets="PM2.5")
    common = open_readings(folder, channels=channels, nodes=raw.nodes)
    rows = slice(int(np.flatnonzero(common.time == raw.time[0])[0]), None)
    assert raw.shape == (2160, 12, 4) and common.select(rows=rows).hash == raw.hash


def test_a_grid_from_xarray_is_the_common_form() -> None:
    xr = pytest.importorskip("xarray")
    path = dataset_path("era5_uk_t2m")
    common = open_readings(path)
    with np.load(path / "data.npz") as archive:
        latitude, longitude = archive["lat"], archive["lon"]
    cube = common.values.reshape(744, 33, 49)
    array = xr.DataArray(
        cube[:, ::-1].transpose(2, 0, 1), dims=("longitude", "valid_time", "latitude"), name="t2m_K",
        coords={"valid_time": common.time, "latitude": latitude[::-1], "longitude": longitude},
    )  # fmt: skip
    raw = open_readings(array)
    assert raw.hash == common.hash and raw.grid == common.grid
    np.testing.assert_allclose(raw.coordinates, common.coordinates, atol=1e-9)


def test_opening_holds_little_more_than_the_array() -> None:
    path = dataset_path("beijing_air")
    size = open_readings(path).values.nbytes
    tracemalloc.start()
    try:
        open_readings(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.7 * size
