"""A loaded curve and its twin: who loads, how fast a delay injects, and what is told beyond the peak."""

import numpy as np
import pytest

from numasim.calibration import compose, held_out, knobs, neighbours, published, spec, twins
from numasim.calibration.knobs import DIES, LOAD
from numasim.calibration.published import Cell, Curve, Host
from numasim.errors import UserError

SHEET = {
    "name": "two",
    "family": "cascade-lake",
    "sockets": 2,
    "cores": 4,
    "threads_per_core": 2,
    "frequency_ghz": 2.0,
    "l3_bytes": "5.5MiB",
    "memory": {"generation": "DDR4", "mts": 2933, "channels": 2},
    "links": {"kind": "upi", "gts": 10.4, "count": 2},
}
LEVELS = [(0, 90, 50), (9, 80, 9)]  # delay, ns, GB/s
ROWS = "inject_delay_cycles,latency_ns,total_read_bw_GBps"


@pytest.fixture(scope="module")
def machine():
    return compose.compose(spec.from_tables(SHEET))


def curve(threads=1, sockets=2, delays=(1000.0, 500.0, 250.0), unit=0.25, beside=4.0):
    """What a machine of eight cores shows if a line takes unit x delay + beside ns of each thread that loads."""
    count, delays, ns = 4 * sockets * threads - 1, np.array(delays), np.full(len(delays), 80.0)
    return Curve(count * 64 / (unit * delays + beside) + 64 / ns, ns, sockets, threads=threads, delays=delays)


@pytest.mark.parametrize(("threads", "sockets", "cpus"), [
    (1, 2, "0-7"), (2, 2, "0-7,8-15"), (1, 1, "0-3"), (2, 1, "0-3,8-11"),
])  # fmt: skip
def test_with_two_threads_a_core_one_loads_beside_the_chaser(machine, monkeypatch, threads, sockets, cpus):
    asked = {}

    def run(_, workload, **words):
        asked.update(words, workload=workload)
        raise InterruptedError

    monkeypatch.setattr(twins, "run", run)
    with pytest.raises(InterruptedError):
        twins.level(machine, curve(threads, sockets), 7, 100)
    assert asked["physcpubind"] == cpus
    assert asked["threads"] == 4 * sockets * threads == twins.loaders(machine, curve(threads, sockets)) + 1


def test_a_thread_beside_the_chaser_takes_its_buffers(machine):
    """With as many misses under way, the chaser waits for a buffer of its core, too."""
    one, two = (twins.level(machine, curve(threads), 0, 1000) for threads in (1, 2))
    assert two.ns > 1.2 * one.ns
    assert two.gbps == pytest.approx(one.gbps, rel=0.05)


@pytest.mark.parametrize("threads", [1, 2])
def test_how_fast_a_delay_injects_is_known_from_low_levels(machine, threads):
    assert twins.injection(machine, curve(threads)) == pytest.approx((0.25, 4.0))


@pytest.mark.parametrize("delays", [(), (0.0, 0.0, 0.0), (500.0, 500.0, 0.0), (500.0, 1000.0)])
def test_fewer_than_three_delays_tell_nothing(machine, delays):
    assert twins.injection(machine, curve(delays=delays)) is None
    assert twins.injection(machine, curve()._replace(delays=None)) is None


def test_a_pause_reads_as_much_as_it_was_asked_for(machine):
    few = twins.level(machine, curve(), twins.pause(machine, curve(), 4.0), 1000)
    assert few.gbps == pytest.approx(4.0 + 64 / few.ns, rel=0.04)


def test_levels_beyond_the_peak_are_told_by_what_was_injected(machine):
    low, delays = curve(), np.array([300.0, 0.0, 20.0, 2000.0])
    measured = Curve(np.array([9.0, 99.0, 99.0, 99.0]), np.full(4, 100.0), 2, delays=delays)
    at = np.array([1.0, np.nan, np.nan, np.nan])
    found = held_out._beyond(machine, measured, low, at, 7.0)
    assert found[:2].tolist() == [1.0, 7.0]  # it gets there; no delay is the full load
    cycles = [round((0.25 * delay + 4) * 2.0) for delay in (20.0, 2000.0)]  # 2 GHz
    assert found[2:].tolist() == [twins.level(machine, low, pause, held_out.FULL).ns for pause in cycles]
    assert found[3] < found[2]
    early = held_out._beyond(machine, measured, curve(beside=-6.0), at, 7.0)
    assert early[2] == twins.level(machine, low, 0, held_out.FULL).ns  # no less than no pause
    assert held_out._beyond(machine, measured._replace(delays=None), low, at, 7.0).tolist() == [1.0, 7.0, 7.0, 7.0]


def test_the_full_load_is_the_level_without_delay():
    measured = Curve(np.array([10.0, 99.0, 100.0]), np.array([80.0, 490.0, 340.0]), 1)
    assert measured.full_ns == 340.0
    assert measured._replace(delays=np.array([500.0, 0.0, 50.0])).full_ns == 490.0
    low = measured._replace(delays=np.array([500.0, 0.0, 50.0])).below(0.6)
    assert (low.delays.tolist(), low.ended) == ([500.0], False)


def folder(path, column, values):
    (path / "spec.toml").write_bytes((published.shipped("calibration/hosts") / "ivb-2680v2-2s/spec.toml").read_bytes())
    rows = [
        f"{delay},{ns},{gbps}{value}"
        for (delay, ns, gbps), value in zip([(0, 90, 50), (9, 80, 9)], values, strict=True)
    ]
    (path / "loaded_latency.csv").write_text("\n".join([ROWS + column, *rows]) + "\n")
    return path


@pytest.mark.parametrize(("column", "values", "threads"), [
    ("", ("", ""), 1), (",threads_per_core", (",2", ",2"), 2), (",threads_per_core", (",1", ",1"), 1),
])  # fmt: skip
def test_a_table_says_how_many_threads_of_a_core_load(tmp_path, column, values, threads):
    found = published.load(folder(tmp_path, column, values)).curve
    assert (found.threads, found.delays.tolist()) == (threads, [9.0, 0.0])


@pytest.mark.parametrize("values", [(",1", ",2"), (",3", ",3"), (",x", ",x"), (",0", ",0")])
def test_threads_that_a_core_does_not_have_are_refused(tmp_path, values):
    with pytest.raises(UserError, match="threads_per_core") as told:
        published.load(folder(tmp_path, ",threads_per_core", values))
    assert "loaded_latency.csv" in str(told.value)


def test_a_table_may_leave_delays_out(tmp_path):
    table = folder(tmp_path, "", ("", "")) / "loaded_latency.csv"
    table.write_text("latency_ns,total_read_bw_GBps\n90,50\n80,9\n")
    assert published.load(tmp_path).curve.delays is None


@pytest.mark.parametrize(("known", "ranks"), [(True, 2), (False, 2), (True, 1)])
def test_where_relatives_know_a_dies_link_full_load_decides_the_channels(known, ranks):
    sheet = published.load("genoa-9354p-nps1").sheet
    sheet = compose.stated(sheet, {"memory.ranks": ranks})
    made = neighbours.from_spec(sheet).machine if known else compose.compose(sheet)
    cell = Cell("bandwidth", (0, 0), 353.0)
    turned = knobs.knobs(made, Host("one", sheet, [cell], None), [cell])
    assert [knob.key for knob in turned] == [LOAD[0] if known and ranks == 2 else DIES]
