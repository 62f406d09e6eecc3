"""A simulated city is reproducible, behaves like what it simulates, and tells the truth about itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.catalog.simulate import Simulation, simulate_city, simulated_city
from fieldcast.errors import FieldcastError


@pytest.fixture(scope="module")
def week() -> Simulation:
    """A week in a city of the size of a small dataset, without incidents or missing cells."""
    return simulate_city(120, 7, missing=0, incidents=0)


@pytest.fixture(scope="module")
def busy() -> Simulation:
    """A week with many incidents."""
    return simulate_city(120, 7, missing=0, incidents=0.1, seed=1)


@pytest.fixture(scope="module")
def planted() -> Simulation:
    return simulate_city(60, 7, seed=2, useless=3, dead=2, duplicates=3, driven=4, missing=0.05, flow=True)


def speeds(simulation: Simulation) -> np.ndarray:
    return simulation.readings.values[..., 0]


# The same bits, the right form


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    options = {"missing": 0.1, "useless": 1, "dead": 1, "duplicates": 1, "driven": 2, "own_dynamics": 2.0}
    first, again = simulate_city(12, 1, seed=5, **options), simulate_city(12, 1, seed=5, **options)
    assert first.readings.hash == again.readings.hash
    assert first.truth.incidents == again.truth.incidents and first.truth.outages == again.truth.outages
    for name, array in first.graph.arrays().items():
        assert np.array_equal(array, again.graph.arrays()[name])
    assert first.readings.hash != simulate_city(12, 1, seed=6, **options).readings.hash


def test_readings_say_what_they_are() -> None:
    readings, graph = simulated_city(20, 2, frequency="15min", flow=True)
    assert readings.shape == (2 * 96, 20, 2) and readings.values.dtype == np.float32
    assert readings.frequency == "15min" and readings.time[0] == np.datetime64("2024-01-04")
    assert readings.targets == ("speed",) and readings.unit("speed") == "mph" and readings.unit("flow") == "veh/h"
    assert readings.meta.name == "simulated_city" and readings.meta.role.startswith("simulated")
    assert readings.meta.default_split == "windows-first 7:1:2"
    assert graph.nodes == 20 and readings.coordinates is not None
    assert len(set(readings.nodes)) == 20


def test_the_unit_is_a_factor() -> None:
    miles, kilometres = (simulated_city(10, 1, unit=unit, missing=0)[0] for unit in ("mph", "km/h"))
    np.testing.assert_allclose(kilometres.values, miles.values * 1.609344, rtol=1e-5)
    assert kilometres.unit("speed") == "km/h"


def test_the_name_without_truth_gives_the_same_readings() -> None:
    readings, _ = simulated_city(9, 1, seed=4)
    assert readings.hash == simulate_city(9, 1, seed=4).readings.hash


@given(
    nodes=st.integers(1, 10),
    steps=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    frequency=st.sampled_from(["5min", "15min", "1h"]),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    flow=st.booleans(),
    clusters=st.integers(1, 5),
    own=st.sampled_from([0.0, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_any_small_city(
    nodes: int, steps: int, seed: int, frequency: str, missing: float, flow: bool, clusters: int, own: float
) -> None:
    readings, graph, truth = simulate_city(
        nodes, steps=steps, seed=seed, frequency=frequency, missing=missing, flow=flow, clusters=clusters,
        own_dynamics=own, incidents=1.0,
    )  # fmt: skip
    assert readings.shape == (steps, nodes, 1 + flow)
    assert graph.nodes == nodes and (graph.edge_weight > 0).all() and (graph.edge_weight <= 1).all()
    assert (graph.edge_index[0] != graph.edge_index[1]).all()
    pairs = graph.edge_index[0] * nodes + graph.edge_index[1]
    assert len(np.unique(pairs)) == len(pairs)
    seen = readings.values[readings.observed]
    assert np.isfinite(seen).all() and (seen >= 0).all()
    speed = readings.values[..., 0][readings.observed[..., 0]]
    assert ((speed >= 1) & (speed <= 80)).all()
    assert (truth.cluster < clusters).all() and (truth.road >= 0).all()
    for event in (*truth.incidents, *truth.outages):
        assert 0 <= event.node < nodes and 0 <= event.start < event.end <= steps


# What it simulates


def test_speeds_are_those_of_roads(week: Simulation) -> None:
    speed = speeds(week)
    assert 55 < speed.mean() < 65 and 8 < speed.std() < 15
    assert 0.03 < (speed < 40).mean() < 0.15
    hours = speed[:288].reshape(24, -1).mean(axis=1)  # a Thursday
    assert hours[2:4].min() > 62
    assert hours[7:10].min() < 60 and hours[16:20].min() < 60


def test_weekends_are_freer_than_working_days(week: Simulation) -> None:
    days = (speeds(week) < 40).reshape(7, -1).mean(axis=1)  # Thursday to Wednesday
    assert days[2:4].max() < 0.5 * days[[0, 1, 4, 5, 6]].min()


def test_opposite_ways_peak_at_opposite_ends_of_the_day(week: Simulation) -> None:
    slow = (speeds(week)[:288] < 45).reshape(2, 144, -1).mean(axis=1)  # before and after noon
    morning, evening = (slow[:, week.truth.cluster == cluster].mean(axis=1) for cluster in (0, 1))
    assert morning[0] > evening[0] and evening[1] > morning[1]


def test_congestion_travels_upstream(week: Simulation) -> None:
    """Congestion begins downstream: of two neighbours, the one upstream slows down later."""
    speed, following = speeds(week), week.truth.following
    lags = np.arange(-6, 7)
    total = np.zeros(len(lags))
    for upstream in np.flatnonzero(following >= 0):
        pair = speed[:, [upstream, following[upstream]]]
        if ((pair < 40).mean(axis=0) > 0.03).all():
            a, b = (np.clip(np.diff((pair[:, i] < 45).astype(float)), 0, 1) for i in (0, 1))  # it begins
            total += [np.sum(a[6 + lag : len(a) - 6 + lag] * b[6:-6]) for lag in lags]
    assert total.max() > 20
    assert lags[np.argmax(total)] > 0
    assert total[lags > 0].sum() > 2 * total[lags < 0].sum()


def test_queues_stand_upstream_of_an_incident(busy: Simulation) -> None:
    city = busy
    calm = simulate_city(120, 7, missing=0, incidents=0, seed=1)
    before, after = [], []
    for event in city.truth.incidents:
        upstream = np.flatnonzero(city.truth.following == event.node)
        downstream = city.truth.following[event.node]
        if len(upstream) and downstream >= 0 and event.capacity_left < 0.5 and event.end - event.start >= 6:
            rows = slice(event.start + 3, event.end)
            difference = speeds(city)[rows] - speeds(calm)[rows]
            before.append(difference[:, upstream[0]].mean())
            after.append(difference[:, downstream].mean())
    assert len(before) > 10
    assert np.mean(before) < -8 and np.mean(after) > -3


def test_neighbours_are_more_alike_than_strangers(week: Simulation) -> None:
    likeness = np.corrcoef(speeds(week).T)
    source, target = week.graph.edge_index
    assert np.median(likeness[source, target]) > np.median(likeness) + 0.1


def test_last_value_is_beaten_by_regression_on_its_neighbours() -> None:
    speed = speeds(simulate_city(40, 14, missing=0))
    ahead, split = 12, 10 * 288
    errors = {"last": [], "ridge": []}
    slot = np.arange(len(speed)) % 288
    angle = 2 * np.pi * np.outer(slot, np.arange(1, 7)) / 288
    clock = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    rows = np.arange(12, len(speed) - ahead)
    for node in range(0, 36, 3):
        near = speed[:, node : node + 4]
        features = np.concatenate([near[rows - lag] for lag in (0, 1, 3, 6, 12)] + [clock[rows + ahead]], axis=1)
        features = np.concatenate([features, np.ones((len(rows), 1))], axis=1).astype(np.float64)
        fit, test = rows + ahead < split, rows - 12 >= split
        known = features[fit]
        weight = np.linalg.solve(known.T @ known + np.eye(known.shape[1]), known.T @ speed[rows[fit] + ahead, node])
        errors["ridge"].append(features[test] @ weight - speed[rows[test] + ahead, node])
        errors["last"].append(speed[rows[test], node] - speed[rows[test] + ahead, node])
    rmse = {name: np.sqrt(np.mean(np.square(error))) for name, error in errors.items()}
    assert rmse["ridge"] < 0.85 * rmse["last"]


# What it says is true


def test_dead_sensors_are_constant_and_useless_ones_noise(planted: Simulation) -> None:
    speed, truth = speeds(planted), planted.truth
    assert len(truth.dead) == 2 and len(truth.useless) == 3
    for node in truth.dead:
        assert np.nanstd(speed[:, node]) == 0
    ordinary = np.setdiff1d(np.arange(60), [*truth.dead, *truth.useless])
    filled = np.where(np.isnan(speed), np.nanmean(speed, axis=0), speed)
    for node in truth.useless:
        series = filled[:, node] - filled[:, node].mean()
        assert abs(np.mean(series[1:] * series[:-1]) / series.var()) < 0.1
        assert max(abs(np.corrcoef(series, filled[:, other])[0, 1]) for other in ordinary) < 0.12


def test_duplicates_are_equal_to_the_bit_and_missing_together(planted: Simulation) -> None:
    copies, originals = planted.truth.duplicates
    assert len(copies) == 3
    values, observed = planted.readings.values, planted.readings.observed
    assert np.array_equal(values[:, copies], values[:, originals], equal_nan=True)
    assert np.array_equal(observed[:, copies], observed[:, originals])


def test_no_sensor_has_two_roles(planted: Simulation) -> None:
    truth = planted.truth
    assert truth.hub is not None
    roles = np.concatenate([truth.useless, truth.dead, truth.duplicates[0], truth.hub.driven, [truth.hub.node]])
    assert len(np.unique(roles)) == len(roles) == 3 + 2 + 3 + 4 + 1
    assert not np.isin(truth.duplicates[1], [*truth.useless, *truth.dead, *truth.duplicates[0]]).any()


def test_the_hub_drives_others_with_its_lag() -> None:
    options = {"missing": 0, "seed": 3}
    with_hub, without = simulate_city(30, 4, driven=5, **options), simulate_city(30, 4, **options)
    hub = with_hub.truth.hub
    assert hub is not None and hub.lag == 6
    added = speeds(with_hub) - speeds(without)
    driver = added[:, hub.node]
    for node in hub.driven:
        likeness = [
            np.corrcoef(driver[12 : -12 or None], added[12 + lag : len(added) - 12 + lag, node])[0, 1]
            for lag in range(12)
        ]
        assert int(np.argmax(likeness)) == hub.lag and max(likeness) > 0.8
    others = np.setdiff1d(np.arange(30), [*hub.driven, hub.node])
    assert np.array_equal(speeds(with_hub)[:, others], speeds(without)[:, others])


def test_own_dynamics_are_those_that_the_truth_names() -> None:
    options = {"missing": 0, "seed": 3}
    city, plain = simulate_city(10, 6, own_dynamics=1.0, **options), simulate_city(10, 6, **options)
    added = (speeds(city) - speeds(plain)).astype(np.float64)
    for node in range(10):
        clear = (speeds(city)[:, node] < 73.9) & (speeds(city)[:, node] > 1.1) & (speeds(plain)[:, node] < 73.9)
        rows = np.flatnonzero(clear[2:] & clear[1:-1] & clear[:-2]) + 2
        past = np.stack([added[rows - 1, node], added[rows - 2, node]], axis=1)
        found = np.linalg.lstsq(past, added[rows, node], rcond=None)[0]
        np.testing.assert_allclose(found, city.truth.own_dynamics[:, node], atol=0.12)
    assert 0.6 < added.std() < 1.4
    assert not plain.truth.own_dynamics.any()


def test_sensors_gains_are_seen_where_traffic_is_free(week: Simulation) -> None:
    slot = np.arange(len(speeds(week))) % 288
    night = np.median(speeds(week)[(slot >= 24) & (slot < 54)], axis=0)  # 2:00 to 4:30
    shown = night / week.truth.free_speed
    assert np.corrcoef(shown, week.truth.gain)[0, 1] > 0.9
    assert np.std(shown / week.truth.gain) < 0.5 * np.std(week.truth.gain)


def test_congestion_stands_at_and_before_bottlenecks(week: Simulation) -> None:
    near, following = week.truth.bottleneck.copy(), week.truth.following
    upstream = np.flatnonzero(following >= 0)
    near[upstream] |= week.truth.bottleneck[following[upstream]]
    slow = (speeds(week) < 40).mean(axis=0)
    assert (~near).sum() > 5 and slow[near].mean() > 2 * slow[~near].mean()


def test_incidents_slow_their_road_and_the_one_before_it(busy: Simulation) -> None:
    speed, following, change = speeds(busy), busy.truth.following, {"here": [], "before": [], "behind": []}
    for node, start, end, left in busy.truth.incidents:
        before = np.flatnonzero(following == node)
        if len(before) and following[node] >= 0 and left < 0.5 and end - start >= 6 and start >= 12:
            for where, place in {"here": node, "before": before[0], "behind": following[node]}.items():
                earlier, meanwhile = speed[start - 6 : start, place], speed[start + 3 : end, place]
                change[where].append(meanwhile.mean() - earlier.mean())
    assert len(change["here"]) > 10
    assert np.mean(change["here"]) < -5 and np.mean(change["before"]) < -15 and np.mean(change["behind"]) > -5


@pytest.mark.parametrize("clusters", [2, 3])
def test_clusters_are_found_by_correlation(clusters: int) -> None:
    """Weekday profiles of flow are most like those of the sensors of the same cluster."""
    city = simulate_city(80, 7, missing=0, incidents=0, flow=True, clusters=clusters)
    working = city.readings.values[..., 1].reshape(7, 24, 12, 80)[[0, 4, 5, 6]]
    likeness = np.corrcoef(np.log1p(working.mean(axis=(0, 2))).T)
    np.fill_diagonal(likeness, np.nan)
    of = city.truth.cluster
    mean = np.stack([np.nanmean(likeness[:, of == cluster], axis=1) for cluster in range(clusters)], axis=1)
    assert (mean.argmax(axis=1) == of).mean() > 0.95


def test_the_hub_is_found_in_the_readings_by_its_lag() -> None:
    city = simulate_city(30, 7, driven=5, missing=0, seed=3)
    hub, change = city.truth.hub, np.diff(speeds(city), axis=0)
    assert hub is not None
    driver, rows = change[:-12, hub.node], len(change) - 12
    for node in range(30):
        likeness = [np.corrcoef(driver, change[lag : rows + lag, node])[0, 1] for lag in range(1, 12)]
        assert (1 + int(np.argmax(likeness)) == hub.lag and max(likeness) > 0.12) == (node in hub.driven), node


def test_own_dynamics_show_in_the_autocorrelation_of_the_readings() -> None:
    """At 8 rows, beyond the reach of noise and drift, nodes differ as their coefficients (a, b) say."""
    city = simulate_city(40, 10, own_dynamics=3.0, missing=0, incidents=0, seed=3)
    night = speeds(city).reshape(10, 288, 40)[:, :72]
    night = night - night.mean(axis=1, keepdims=True)
    seen = (night[:, 8:] * night[:, :-8]).sum(axis=(0, 1)) / np.square(night).sum(axis=(0, 1))
    a, b = city.truth.own_dynamics
    expected = [np.ones(40), a / (1 - b)]
    for _ in range(7):
        expected.append(a * expected[-1] + b * expected[-2])
    assert np.corrcoef(seen, expected[8])[0, 1] > 0.85


def test_outages_are_the_missing_blocks() -> None:
    city = simulate_city(60, steps=900, missing=0.05, outages=1.0)
    lost, told = ~city.readings.observed[..., 0], np.zeros((900, 60), dtype=bool)
    for outage in city.truth.outages:
        told[outage.start : outage.end, outage.node] = True
    assert lost[told].all() and told.sum() > 0.9 * lost.sum()
    length = 4  # of cells lost one by one, hardly ever so many follow each other
    block, known = (np.lib.stride_tricks.sliding_window_view(m, length, axis=0) for m in (lost, told))
    assert not (block.all(axis=-1) & ~known.any(axis=-1)).any()


def test_clusters_are_as_many_as_asked() -> None:
    assert set(simulate_city(200, steps=2, clusters=4).truth.cluster) == {0, 1, 2, 3}


def test_planting_leaves_the_other_sensors_as_they_are() -> None:
    options = {"missing": 0, "seed": 9}
    plain, city = simulate_city(20, 1, **options), simulate_city(20, 1, useless=2, dead=2, duplicates=2, **options)
    changed = np.flatnonzero((speeds(plain) != speeds(city)).any(axis=0))
    assert set(changed) == {*city.truth.useless, *city.truth.dead, *city.truth.duplicates[0]}


@pytest.mark.parametrize("missing", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("outages", [0.0, 0.5, 1.0])
def test_as_much_is_missing_as_asked(missing: float, outages: float) -> None:
    city = simulate_city(60, steps=900, missing=missing, outages=outages)
    share = 1 - city.readings.observed.mean()
    assert share == pytest.approx(missing, rel=0.25, abs=1e-3)
    assert bool(city.truth.outages) == (missing > 0 and outages > 0)
    for outage in city.truth.outages:
        assert not city.readings.observed[outage.start : outage.end, outage.node].any()


def test_channels_go_missing_together(planted: Simulation) -> None:
    observed = planted.readings.observed
    assert np.array_equal(observed[..., 0], observed[..., 1]) and not observed.all()


def test_outages_are_told_of_copies_too() -> None:
    city = simulate_city(20, 7, seed=1, duplicates=8, missing=0.2)
    copies, originals = city.truth.duplicates
    assert set(copies) & {outage.node for outage in city.truth.outages}
    for outage in city.truth.outages:
        assert not city.readings.observed[outage.start : outage.end, outage.node].any()
    for copy, original in zip(copies, originals, strict=True):
        assert len([o for o in city.truth.outages if o.node == copy]) == len(
            [o for o in city.truth.outages if o.node == original]
        )


def test_the_flow_is_beside_the_speed_and_changes_it_in_nothing() -> None:
    both, speed = (simulate_city(12, 2, flow=flow, seed=2) for flow in (True, False))
    assert np.array_equal(speeds(both), speeds(speed), equal_nan=True)
    flow = both.readings.values[..., 1]
    assert 500 < np.nanmean(flow) < 6000 and np.nanmax(flow) < 12000
    hours = np.nanmean(flow[:288].reshape(24, -1), axis=1)
    assert hours[3] < 0.4 * hours[17]


def test_edges_run_downstream(week: Simulation) -> None:
    following = week.truth.following
    edges = set(zip(*week.graph.edge_index.tolist(), strict=True))
    for node in np.flatnonzero(following >= 0):
        assert (node, following[node]) in edges and (following[node], node) not in edges


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, "0 nodes"),
        ({"days": 0}, "0 rows"),
        ({"frequency": "7min"}, "multiple of 5 minutes"),
        ({"frequency": "nonsense"}, "'nonsense'"),
        ({"missing": 1.0}, "missing is 1.0"),
        ({"outages": 2.0}, "outages is 2.0"),
        ({"incidents": -1.0}, "incidents is -1.0"),
        ({"unit": "kmh"}, "did you mean 'km/h'"),
        ({"clusters": 0}, "clusters is 0"),
        ({"dead": -1}, "dead is -1"),
        ({"own_dynamics": float("nan")}, "own_dynamics is nan"),
        ({"nodes": 5, "useless": 2, "dead": 2, "duplicates": 2}, "do not fit among 5 nodes"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_a_sentence(options: dict, said: str) -> None:
    with pytest.raises(FieldcastError, match=r"give|plant") as caught:
        simulate_city(**({"nodes": 4, "days": 1} | options))
    assert said in str(caught.value)
