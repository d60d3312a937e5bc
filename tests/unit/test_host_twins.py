"""Do the twins of the native benchmark show what it would show, and does a fit find what was planted in a machine?"""

import functools
from typing import Any

import msgspec
import numpy as np
import pytest

from numasim.calibration import host_base, host_fit, host_pages, host_validate
from numasim.calibration.fit import Fitted
from numasim.calibration.host_file import (
    FORMAT,
    VERSION,
    During,
    Histogram,
    HostFile,
    Keys,
    MadeBy,
    Measurement,
    Protocol,
    summarised,
)  # fmt: skip
from numasim.calibration.host_twins import PROGRAMS, REPORTED, TWINS, HostTwins, counted, stamp_ns
from numasim.calibration.values import changed, value_of
from numasim.machine import Machine
from numasim.workloads.chains import _order

KIB, MIB = 1 << 10, 1 << 20
HOST: dict[str, Any] = {
    "cpu": {"name": "planted", "vendor": "AuthenticAMD", "id": "AuthenticAMD-25-17-1"},
    "cpus": [{"cpu": cpu, "node": 0, "package": 0, "core": cpu} for cpu in range(2)],
    "caches": [
        {"level": 1, "kind": "Data", "size_bytes": 32 * KIB, "line_bytes": 64, "ways": 8, "cpus": "0"},
        {"level": 1, "kind": "Instruction", "size_bytes": 32 * KIB, "line_bytes": 64, "ways": 8, "cpus": "0"},
        {"level": 2, "kind": "Unified", "size_bytes": 256 * KIB, "line_bytes": 64, "ways": 8, "cpus": "0"},
        {"level": 3, "kind": "Unified", "size_bytes": 4 * MIB, "line_bytes": 64, "ways": 16, "cpus": "0-1"},
    ],
    "nodes": [{"node": 0, "cpus": "0-1", "memory_bytes": 8 << 30, "distances": [10]}],
    "huge_pages": [],
}
PLANTED: dict[str, float] = {
    "core.frequency_ghz": 3.1,
    "core.mispredict_cycles": 21,
    "core.split_cycles": 9,
    "l1d.latency_cycles": 5,
    "l2.latency_cycles": 17,
    "tlb.l1_4k_entries": 48,
    "tlb.l2_latency_cycles": 10,
    "l3.size_bytes": 1536 * KIB,
    "l3.lookup_ns": 9.3,
    "fabric.controller_ns": 71.7,
    "fabric.snoop_ns": 23.9,
    "fabric.snoop_dirty_ns": 7.1,
    "core.atomic_cycles": 40,
    "core.fill_buffers": 10,
    "core.prefetch_buffers": 6,
    "os.tick_hz": 250.0,
    "os.tick_us": 3.0,
}
HOW = {
    "l3.ways": 12, "l3.policy": "random", "tlb.l1_4k_ways": 24,  # belong to planted values
    "prefetch.region": False, "prefetch.up_down": False,  # else chases are no sums of latencies, and c2c is left out
    "prefetch.ip_stride_distance": 1, "prefetch.ip_stride_pages": False,  # else buffers and distance say the same
}  # fmt: skip
CPU: Keys = {"cpu": 0, "node": 0, "pages": "4k"}
EMPTY = Histogram(0.5, 100, 4000.0, 40, 40, [(40, 40, 100)])


def run(experiment: str, keys: Keys, **histograms: Histogram) -> Measurement:
    facts = {"spacing_bytes": 128, "step_ticks": 1}
    return Measurement(experiment, {**CPU, **keys}, {}, histograms, facts, [], 0.1)


RUNS = [
    run("clock", {}),
    *[run("chase", {"size": size, "pages": "2m", "within": "all"})
      for size in (16 * KIB, 128 * KIB, 768 * KIB, 1 * MIB, 1536 * KIB, 2 * MIB, 3 * MIB, 32 * MIB)],
    run("chase", {"size": 32 * MIB, "within": "page"}),
    *[run("tlb", {"count": count}) for count in (16, 32, 40, 48, 64, 128, 256)],
    *[run("c2c", {"other": 1, "state": state, "size": 128 * KIB}) for state in ("hit", "hitm")],
    run("pingpong", {"other": 1}),
    *[run("chains", {"size": 32 * MIB, "pages": "2m", "chains": chains}) for chains in (1, 8, 16)],
    run("stride", {"size": 16 * MIB, "stride": 64}),
    run("stride", {"size": 16 * MIB, "stride": 256}),
    run("bandwidth", {"size": 16 * MIB, "cpus": "0", "ratio": "1:0"}),
    run("split", {"size": 16 * KIB}),
]  # fmt: skip


def seen(one: Measurement, values: dict[str, float]) -> Measurement:
    """A run with what a host would have written: three undisturbed repetitions."""
    calm = {"preempted": 0.0, "ran_share": 1.0}
    samples = {name: summarised([value] * 3, [True] * 3) for name, value in {**values, **calm}.items()}
    return Measurement(one.experiment, one.keys, samples, one.histograms, one.facts, [0, 0, 1], one.seconds)


def file_of(measurements: list[Measurement]) -> HostFile:
    made = MadeBy("", "", "", "")
    protocol, during = Protocol("planted", "", 2, []), During([], [])
    return HostFile(FORMAT, VERSION, made, protocol, "", "", 1.0, False, HOST, during, measurements, [])


@functools.cache
def base() -> Machine:
    return host_base.base(file_of([]), "planted", "test")


@functools.cache
def planted() -> Machine:
    return changed(base(), {**PLANTED, **HOW})  # type: ignore[dict-item]


@functools.cache
def measured() -> HostFile:
    """What the planted machine shows; branches and ticks by their definitions, which need no simulation."""
    twins = HostTwins(planted())
    found = [seen(one, twins.values(one)) for one in RUNS]
    wrong = PLANTED["core.mispredict_cycles"] / PLANTED["core.frequency_ghz"] / 2
    found.append(seen(run("branch", {}), {"random_ns": 2.0 + wrong, "predictable_ns": 2.0}))
    ticks = Histogram(0.5, 1501, 0.0, 5800, 10**7, [(5800, 5800, 750), (6200, 6200, 750), (10**7, 10**7, 1)])
    spun = seen(run("interruptions", {"ms": 2000}, length=ticks), {"per_s": 250.2})  # one is another program's turn
    return file_of([*found, spun])


@functools.cache
def fitted() -> Fitted:
    return host_fit.fit_host(measured())


@pytest.mark.parametrize("key", PLANTED)
def test_a_fit_finds_what_was_planted(key: str) -> None:
    found = fitted()
    error = found.errors[key]
    assert error > 0
    assert abs(value_of(found.machine, key) - PLANTED[key]) <= 2 * error
    assert found.machine.source(key).startswith("fitted")


@pytest.mark.parametrize(
    ("key", "within"),
    [("fabric.controller_ns", 0.03), ("l3.lookup_ns", 0.1), ("l3.size_bytes", 0.1), ("core.fill_buffers", 0.1),
     ("fabric.snoop_ns", 0.1), ("tlb.l2_latency_cycles", 0.0), ("l1d.latency_cycles", 0.0)],
)  # fmt: skip
def test_what_is_found_is_near_not_just_uncertain(key: str, within: float) -> None:
    assert value_of(fitted().machine, key) == pytest.approx(PLANTED[key], rel=within + 1e-12)


def test_a_fit_has_no_more_values_than_measurements_and_says_what_it_took_the_L3_for() -> None:
    found = fitted()
    assert len(found.knobs) <= found.independent <= len(measured().measurements)
    assert found.machine.l3.policy == "random"
    assert {"fabric.controller_ns", "l3.lookup_ns", "os.tick_hz"} < set(found.machine.uncertainty.keys)
    assert np.allclose(found.correlation, found.correlation.T)


def test_programs_are_not_read_by_a_fit() -> None:
    """Absurd programs change nothing, and no value names them."""
    absurd = seen(run("list", {"length": 10, "order": "shuffled", "allocator": "bump"}), {"operation_ns": 1e9})
    fit = host_fit.HostFit(base(), file_of([*measured().measurements, absurd]), "test", lambda what, done: None)
    assert all(aim.one.experiment not in PROGRAMS for aim in fit.aims)


def test_every_experiment_has_a_twin_or_is_only_reported() -> None:
    from numasim.calibration import protocol

    known = {experiment for name in protocol.names() for experiment, _ in protocol.load(name).runs}
    assert known == {*TWINS, *REPORTED, "branch", "interruptions"}


def test_a_chase_costs_what_the_model_says_at_each_level() -> None:
    """Without TLB misses and refreshes: the sums of the table in docs/model.md."""
    machine = changed(planted(), {"memory.dram.trfc_ns": 0.0, "l3.policy": "lru"})  # type: ignore[dict-item]
    twins = HostTwins(machine)
    cycle = 1 / PLANTED["core.frequency_ghz"]
    l2 = 17 * cycle
    l3 = l2 + 2 * machine.fabric.mesh_ns + PLANTED["l3.lookup_ns"]
    memory = machine.node_memory[0]
    far = l3 + PLANTED["fabric.controller_ns"] + memory.trcd_ns + memory.tcl_ns + memory.burst_ns
    for size, expected in ((16 * KIB, 5 * cycle), (128 * KIB, l2), (512 * KIB, l3), (32 * MIB, far)):
        one = run("chase", {"size": size, "pages": "2m", "within": "all"})
        assert twins.values(one)["latency_ns"] == pytest.approx(expected, rel=0.01), size


def test_the_stamps_are_part_of_a_simulated_latency() -> None:
    """A distribution with stamps of 20 ns is 20 ns to the right of one without them."""
    one = run("access", {"size": 16 * KIB, "within": "all"}, empty=EMPTY)
    assert stamp_ns(EMPTY) == 20.0
    cycle = 1 / PLANTED["core.frequency_ghz"]
    values = HostTwins(planted()).values(one)
    assert values["mean_ns"] == pytest.approx(20.0 + 5 * cycle, abs=cycle)
    assert values["p50_ns"] == pytest.approx(values["mean_ns"], abs=0.5)  # a step of the counter


def test_a_coarse_counter_shows_whole_steps() -> None:
    """Against the naive way: begin a latency anywhere in a step, and count the steps it passes."""
    rng = np.random.default_rng(3)
    ns = np.sort(rng.gamma(9.0, 12.0, 400))
    begun = rng.random((200, 1)) * 10.0
    naive = np.floor((begun + ns) / 10.0) * 10.0
    for share in (0.5, 0.9, 0.99):
        found = counted(ns, np.arange(1, 401) / 400, 10.0, share)
        assert abs(found - float(np.quantile(naive, share, method="inverted_cdf"))) <= 10.0
    assert counted(np.array([20.0]), np.array([1.0]), 10.0, 0.5) == 20.0
    assert counted(np.array([24.0]), np.array([1.0]), 10.0, 0.59) == 20.0
    assert counted(np.array([24.0]), np.array([1.0]), 10.0, 0.61) == 30.0


def test_rows_judge_what_a_band_applies_to() -> None:
    b = measured()
    rows = host_validate.rows(planted(), b, b)
    assert {row.name.split()[0] for row in rows if row.judged} == {"chase"}
    assert all(abs(row.deviation) < 1e-9 for row in rows)
    told = host_validate.verdict(rows)
    assert told.good == told.rows == 9 and told.passed and not told.excused


def test_a_host_that_does_not_repeat_itself_is_unusable() -> None:
    """Rows far outside their band are excused by rounds that differ as much, but not all of them."""
    off = [
        seen(one, {name: 1.3 * value for name, value in HostTwins(planted()).values(one).items()})
        for one in RUNS
        if one.experiment == "chase"
    ]
    rows = host_validate.rows(planted(), measured(), file_of(off))
    told = host_validate.verdict(rows)
    assert all(row.excused for row in rows if row.judged)
    assert told.good == told.rows and not told.usable and not told.passed
    assert not any(row.good for row in host_validate.rows(planted(), None, file_of(off)) if row.judged)


def test_a_disturbed_round_is_no_excuse() -> None:
    """What differs because another program had its turn says nothing of how well a host repeats itself."""
    one = next(one for one in measured().measurements if one.experiment == "chase")
    value = one.samples["latency_ns"].median
    assert value is not None
    raw, gave_way = [value, value, 9 * value], [0.0, 0.0, 3.0]
    calm = [True, True, False]
    samples = {
        "latency_ns": summarised(raw, calm),
        "preempted": summarised(gave_way),
        "ran_share": summarised([1.0] * 3),
    }
    disturbed = Measurement(one.experiment, one.keys, samples, {}, one.facts, [0, 1, 2], 0.1)
    still = seen(run("chase", {**one.keys}), {"latency_ns": value})
    row = host_validate.rows(planted(), file_of([still]), file_of([disturbed]))[0]
    assert row.expected == value and row.repeat == 0.0


@pytest.mark.parametrize(("count", "needed"), [(1000, 300), (3 << 20, 50_000), ((1 << 21) + 1, 1000)])
def test_a_chain_meets_each_line_once(count: int, needed: int) -> None:
    """Drawn as a whole or only as far as it is followed: within range, without repeats, all over the memory."""
    found = _order(count, needed, np.random.default_rng(5))
    assert len(found) >= needed and len(np.unique(found)) == len(found)
    assert found.min() >= 0 and found.max() < count
    assert np.histogram(found, 10, (0, count))[0] == pytest.approx(np.full(10, len(found) / 10), rel=0.2)


MANY_PAGES = [
    *[run("tlb", {"count": count}) for count in (1024, 2048, 3072, 4096, 6144, 8192, 16384)],
    *[run("chase", {"size": size, "pages": pages, "within": "all"})
      for size in (192 * KIB, 256 * MIB) for pages in ("4k", "2m")],
]  # fmt: skip


@pytest.mark.parametrize(
    "planted_walk",
    [{"tlb.walk": "native"}, {"tlb.walk": "nested", "tlb.host_page": "4k"},
     {"tlb.walk": "nested", "tlb.host_page": "2m"}],
    ids=["native", "nested 4k", "nested 2m"],
)  # fmt: skip
def test_a_fit_says_how_a_virtual_machine_walks(planted_walk: dict[str, Any]) -> None:
    """What is planted is found, and said, with the second level's entries; memory is 20 ns slower than was supposed."""
    values = {"tlb.l2_entries": 2048, "tlb.l2_ways": 16, "fabric.controller_ns": 80.0, **planted_walk}
    twins = HostTwins(changed(base(), values))
    file = file_of([seen(one, twins.values(one)) for one in MANY_PAGES])
    file = msgspec.structs.replace(file, host=HOST | {"virtual": {"is": True, "by": "kvm"}})
    begun = changed(base(), {"fabric.controller_ns": 60.0})
    fit = host_fit.HostFit(begun, file, "test", lambda what, done: None)
    host_pages.translation(fit)
    told = fit.machine.values()
    assert {key: told[key] for key in planted_walk} == planted_walk
    assert fit.machine.tlb.l2_entries == 2048
    (note,) = fit.notes
    kind = "native walks" if len(planted_walk) == 1 else f"nested walks over pages of {planted_walk['tlb.host_page']}"
    assert note.startswith(f"page walks: {kind}")
    assert fit.finish().machine.source("tlb.walk").startswith("fitted: the best of some for chase, tlb")


@pytest.mark.parametrize("run_of", [1, 512])
def test_a_fit_says_whether_a_host_has_a_guests_huge_page_in_one_piece(run_of: int) -> None:
    """A chase through three quarters of L2 tells it: it is filled evenly or not."""
    walks = {"tlb.walk": "nested", "tlb.host_page": "4k"}
    begun = changed(base(), walks)  # type: ignore[dict-item]
    twins = HostTwins(changed(begun, {"tlb.host_run": run_of}))
    size = begun.l2.size_bytes * 3 // 4
    one = run("chase", {"size": size, "pages": "2m", "within": "all"})
    file = file_of([seen(one, twins.values(one))])
    fit = host_fit.HostFit(changed(begun, {"tlb.host_run": 513 - run_of}), file, "test", lambda what, done: None)
    host_pages.runs(fit)
    assert fit.machine.tlb.host_run == run_of
    assert fit.finish().machine.source("tlb.host_run").startswith("fitted: the best of some for chase")


def test_a_host_that_is_no_guest_walks_natively() -> None:
    twins = HostTwins(changed(base(), {"tlb.walk": "nested"}))  # type: ignore[dict-item]
    file = file_of([seen(one, twins.values(one)) for one in MANY_PAGES])
    fit = host_fit.HostFit(base(), file, "test", lambda what, done: None)
    host_pages.translation(fit)
    assert fit.machine.tlb.walk == "native" and not fit.notes
