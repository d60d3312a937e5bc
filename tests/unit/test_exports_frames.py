"""Do the data frames hold the numbers of the JSON, and causes that sum to them?"""

import json as standard
from typing import Any

import numpy as np
import pytest

from numasim.engine.output import OPERATION_CAUSES
from numasim.results import json
from numasim.results.exports.frames import to_pandas, to_xarray
from numasim.results.percentiles import stacks_at
from unit.test_results_synthetic import Samples, result_of, samples

MADE = samples(seed=31)
RESULT = result_of(MADE)
JSON: dict[str, Any] = standard.loads(json.dumps(RESULT))
CAUSES = [f"{cause}_ns" for cause in OPERATION_CAUSES]
KEYS = {
    0.0: "min_ns",
    50.0: "p50_ns",
    90.0: "p90_ns",
    99.0: "p99_ns",
    99.9: "p999_ns",
    99.99: "p9999_ns",
    100.0: "max_ns",
}
PARTS = [("", "access"), ("", "operation"), ("chaser", "access"), ("generators", "access"), ("generators", "operation")]


def part(group: str, kind: str) -> Any:
    return (JSON["groups"][group] if group else JSON)[kind]


def test_percentiles_are_those_of_the_json() -> None:
    frame = to_pandas(RESULT)
    assert list(dict.fromkeys(zip(frame.group, frame.kind, strict=True))) == PARTS
    for group, kind in PARTS:
        mine = frame[(frame.group == group) & (frame.kind == kind)].set_index("percentile")
        for level, key in KEYS.items():
            assert mine.latency_ns[level] == part(group, kind)[key]
        assert set(mine["count"]) == {part(group, kind)["count"]}


def test_causes_sum_to_the_latency() -> None:
    frame = to_pandas(RESULT)
    assert np.allclose(frame[CAUSES].sum(axis=1), frame.latency_ns, rtol=1e-12)
    assert (frame[frame.kind == "access"][["branch_ns", "compute_ns"]] == 0).all(axis=None)


def test_causes_are_those_of_the_samples_near_the_percentile() -> None:
    """No further from each cause than the samples whose latency is within a bucket's width of the percentile."""
    whole = np.concatenate(MADE.access)
    whole = whole[np.argsort(whole.sum(axis=1))]
    for level in (0, 25, 50, 75, 90, 99, 100):
        rank = max(1, -(-level * len(whole) // 100)) - 1
        total = whole[rank].sum()
        near = whole[np.abs(whole.sum(axis=1) / total - 1) < 1 / 64]  # no bucket is wider, and this is twice that
        (stack,) = stacks_at(RESULT, [level])
        for cause, value in zip(list(stack), near.T, strict=True):
            assert value.min() / 1000 * 0.98 <= stack[cause] <= value.max() / 1000 * 1.02


def test_the_dataset_says_the_same_with_units() -> None:
    data = to_xarray(RESULT)
    assert dict(data.sizes) == {"kind": 2, "group": 3, "percentile": 12, "cause": 17, "bucket": data.sizes["bucket"],
                                "event": 5, "link": 2, "time": 100, "channel": 2}  # fmt: skip
    frame = to_pandas(RESULT)
    for group, kind in PARTS:
        here = data.sel(group=group, kind=kind)
        mine = frame[(frame.group == group) & (frame.kind == kind)]
        assert here.latency_ns.values.tolist() == mine.latency_ns.tolist()
        assert np.array_equal(here.stack_ns.values, mine[CAUSES].values)
        assert float(here.mean_ns) == part(group, kind)["mean_ns"]
        assert int(here["count"].sum()) == part(group, kind)["count"]
        means = here.time_ps.sum("bucket") / int(here["count"].sum()) / 1000
        for cause, mean in part(group, kind)["stack_ns"].items():
            assert float(means.sel(cause=cause)) == pytest.approx(mean, rel=1e-12)
    assert np.isnan(data.latency_ns.sel(group="chaser", kind="operation")).all()
    assert int(data["count"].sel(group="chaser", kind="operation").sum()) == 0
    for name in ("latency_ns", "stack_ns", "mean_ns", "time_ps", "percentile", "from_ps", "to_ps", "time"):
        assert data[name].attrs["units"] in ("ns", "ps", "%")
    assert {str(e): int(data.counters.sel(event=e)) for e in data.event.values} == JSON["counters"]


def test_loads_over_time_are_the_results() -> None:
    data = to_xarray(RESULT)
    for link in RESULT.links:
        series = data.link_utilisation.sel(link=f"{link.source} -> {link.target} ({link.link})")
        assert np.array_equal(series, link.series)
    node = data.channel_utilisation.mean("channel")  # both channels are of node 1
    assert np.allclose(node, next(m for m in RESULT.memory if m.node == 1).series)
    assert data.time.values[:3].tolist() == [0.0, 1000.0, 2000.0]


def test_nothing_counted_is_an_empty_frame_and_a_dataset_of_nothing() -> None:
    nothing = result_of(Samples(MADE.classes, [s[:0] for s in MADE.access], [s[:0] for s in MADE.operation]))
    frame = to_pandas(nothing)
    assert len(frame) == 0 and list(frame) == ["group", "kind", "percentile", "latency_ns", "count", *CAUSES]
    data = to_xarray(nothing)
    assert np.isnan(data.latency_ns).all() and int(data["count"].sum()) == 0


def test_a_result_from_a_file_gives_the_same() -> None:
    back = json.loads(json.dumps(RESULT))
    assert to_pandas(back).equals(to_pandas(RESULT))
    assert to_xarray(back).identical(to_xarray(RESULT))
