"""What full load decides, on made-up machines whose values are known: they are found again from what those show."""

import numpy as np
import pytest

from numasim.calibration import compose, saturation, spec, twins
from numasim.calibration.published import Cell, Curve
from numasim.calibration.saturation import BUFFERS, QUEUE, SWITCH, Known, outstanding, with_outstanding
from numasim.calibration.values import changed, value_of

SHARES = (0.1, 0.4, 0.7, 0.85, 1.0)
ONE = Curve(np.array([1.0]), np.array([80.0]), 1)  # of one socket, a thread a core


def machine(cores, channels, ranks=2, threads=1):
    return compose.compose(
        spec.from_tables(
            {
                "name": "made-up",
                "family": "skylake-sp",
                "sockets": 1,
                "cores": cores,
                "threads_per_core": threads,
                "frequency_ghz": 3.0,
                "l3_bytes": f"{1.375 * cores}MiB",
                "memory": {"generation": "DDR4", "mts": 2666, "channels": channels, "ranks": ranks},
            }
        )
    )


def shown(made, wants_curve, threads=1):
    """What a machine shows: its bandwidth, and its curve with so many threads a core."""
    local = [(Cell("bandwidth", (0, 0), 0.0), twins.Twins(made).bandwidth(0, 0), 1.0)]
    if not wants_curve:
        return Known(local, None)
    peak = twins.level(made, ONE._replace(threads=threads), 0, 2000).gbps
    rough = Curve(np.array([0.0, peak]), np.array([80.0, 200.0]), 1, threads=threads)
    gbps, ns = np.array(sorted(twins.curve(made, rough, SHARES))).T
    return Known(local, Curve(gbps, ns, 1, threads=threads))


@pytest.mark.parametrize(("misses", "switch"), [(10, 1.0), (14, 5.0), (20, 3.0)])
def test_a_curve_decides_both(misses, switch):
    base = machine(6, 2)
    made = changed(with_outstanding(base, misses), {SWITCH: switch})
    found = saturation.search(base, shown(made, True), lambda: None)
    assert abs(outstanding(found.machine) - misses) <= 2
    assert abs(value_of(found.machine, SWITCH) - switch) < 3 * found.errors[SWITCH]
    assert set(found.errors) == {BUFFERS, SWITCH}


@pytest.mark.parametrize(("misses", "turned"), [(16, {SWITCH}), (8, {BUFFERS, SWITCH})])
def test_with_a_thread_beside_the_chaser_misses_that_explain_its_curve_stay(misses, turned):
    """Two threads a core: the latency of full load is also that of the chaser's own core."""
    base = with_outstanding(machine(4, 1, threads=2), 16)
    made = changed(with_outstanding(base, misses), {SWITCH: 3.0})
    found = saturation.search(base, shown(made, True, threads=2), lambda: None)
    assert set(found.errors) == turned
    assert abs(outstanding(found.machine) - misses) <= (0 if misses == 16 else 2)
    assert abs(value_of(found.machine, SWITCH) - 3.0) < 3 * found.errors[SWITCH]


def test_a_bandwidth_that_cores_can_reach_says_how_well_channels_are_used():
    base = machine(8, 2)
    made = changed(base, {SWITCH: 6.0})
    found = saturation.search(base, shown(made, False), lambda: None)
    assert set(found.errors) == {SWITCH}
    assert outstanding(found.machine) == outstanding(base)
    assert abs(value_of(found.machine, SWITCH) - 6.0) < 1.0


def test_a_bandwidth_that_cores_cannot_reach_says_how_many_misses_they_have():
    """One core for four channels: 64 bytes x misses / latency."""
    base = machine(1, 4)
    made = with_outstanding(base, 24)
    found = saturation.search(base, shown(made, False), lambda: None)
    assert set(found.errors) == {BUFFERS}
    assert abs(outstanding(found.machine) - 24) <= 1


def test_one_rank_has_no_time_between_ranks():
    base = machine(6, 2, ranks=1)
    found = saturation.search(base, shown(with_outstanding(base, 9), True), lambda: None)
    assert set(found.errors) == {BUFFERS}
    assert abs(outstanding(found.machine) - 9) <= 1


@pytest.mark.parametrize("wants_curve", [False, True])
def test_channels_used_worse_than_a_bandwidth_allows_are_used_better(wants_curve):
    """Cores that cannot fill the channels at their best, and relatives whose use of them leaves too little: what is
    found shows the bandwidth all the same, with a curve's lower levels beside it or without."""
    made = changed(with_outstanding(machine(6, 2), 9), {SWITCH: 0.0})
    base = changed(with_outstanding(machine(6, 2), 7), {SWITCH: 18.0})
    known = shown(made, wants_curve)
    if wants_curve:
        known = known._replace(curve=known.curve.below(0.6))
    found = saturation.search(base, known, lambda: None)
    ((cell, measured, _),) = known.local
    assert abs(twins.Twins(found.machine).value(cell) / measured - 1) < 0.05
    assert set(found.errors) == {BUFFERS}
    assert found.machine.source(SWITCH).startswith("assumed: as well as can be")


def test_the_lower_levels_of_a_curve_alone_decide_nothing_of_one_rank():
    base = machine(6, 2, ranks=1)
    curve = Curve(np.array([1.0, 20.0]), np.array([80.0, 95.0]), 1, ended=False)
    found = saturation.search(base, Known([], curve), lambda: None)
    assert found.errors == {} and outstanding(found.machine) == outstanding(base)


def test_a_stride_prefetcher_that_stays_in_its_page_is_left_there():
    near = changed(machine(6, 2), {"prefetch.ip_stride": True})
    assert not with_outstanding(near, 20).prefetch.ip_stride_pages
    far = with_outstanding(changed(near, {"prefetch.ip_stride_distance": 4}), 20)
    assert far.prefetch.ip_stride_distance == far.core.prefetch_buffers and far.prefetch.ip_stride_pages


def test_a_controller_that_chooses_from_fewer_reads_than_its_family_is_told_by_its_curve():
    made = changed(with_outstanding(machine(8, 2), 14), {SWITCH: 4.0, QUEUE: 8})
    base = changed(made, {QUEUE: 16, SWITCH: 1.0})
    found = saturation.search(base, shown(made, True), lambda: None)
    assert value_of(found.machine, QUEUE) == 8
    assert found.machine.source(QUEUE).startswith("fitted")
    assert abs(outstanding(found.machine) - 14) <= 2
    assert abs(value_of(found.machine, SWITCH) - 4.0) < 3 * found.errors[SWITCH]
    assert found.misfit < saturation.WELL


@pytest.mark.parametrize("lowest", [[], [(0.0, 80.0)]], ids=["none", "no load"])
def test_a_curve_of_full_load_alone_decides_what_it_can(lowest):
    made = with_outstanding(machine(4, 1), 12)
    peak = twins.level(made, ONE, 0, 2000)
    gbps, ns = np.array([*lowest, (peak.gbps, peak.ns)]).T
    found = saturation.search(machine(4, 1), Known([], Curve(gbps, ns, 1)), lambda: None)
    assert abs(outstanding(found.machine) - 12) <= 2
