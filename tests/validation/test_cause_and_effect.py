"""Does a changed parameter have the effect it must, and no other?

These hold only where a figure comes out of its mechanism: a figure that was fitted as a whole would stay as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from numasim.results.result import Result
from numasim.study.run import run
from theory import closed_forms as theory
from validation.measured import chase, l3_share, loaded, machine, stream_gbps

SLOWER = 20.0  # ns more a hop
RING = [["socket0", "socket1"], ["socket1", "socket2"], ["socket2", "socket3"], ["socket3", "socket0"]]
ONE_BY_ONE = {"core.prefetch_buffers": 0, "prefetch.streamer": False}  # what is on its way is in fill buffers


def slower_hops() -> dict[str, Any]:
    return {"links.upi.latency_ns": machine().links["upi"].latency_ns + SLOWER}


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Nanoseconds by cause that came to the mean."""
    return {cause: after[cause] - before[cause] for cause in before}


def test_a_slower_hop_costs_once_out_and_once_back() -> None:
    assert chase(slower_hops(), membind=1).access.mean_ns - chase(membind=1).access.mean_ns == pytest.approx(40, abs=1)


def test_a_slower_hop_costs_local_memory_nothing() -> None:
    assert chase(slower_hops()).access.total_ps == chase().access.total_ps


@pytest.mark.parametrize(("memory", "hops"), [(0, 0), (1, 1), (2, 2), (3, 1)])
def test_in_a_ring_of_four_sockets_a_slower_hop_costs_what_the_route_says(memory: int, hops: int) -> None:
    ring = {"topology.sockets": 4, "links.upi.pairs": RING, "memory.dram.nodes": [0, 1, 2, 3]}
    before, after = (chase({**ring, **change}, membind=memory) for change in ({}, slower_hops()))
    assert after.access.mean_ns - before.access.mean_ns == pytest.approx(2 * hops * SLOWER, abs=1)
    assert after.access.stack_ns["link"] - before.access.stack_ns["link"] == pytest.approx(2 * hops * SLOWER, abs=0.01)


def test_a_slower_hop_costs_another_sockets_modified_line_once_out_and_once_back() -> None:
    def reader(changes: dict[str, Any]) -> float:
        words: dict[str, Any] = {"state": "hitm", "physcpubind": "0,36", "pages": "2m", "laps": 4}
        return float(run(machine(**changes), "c2c", **words).groups["reader"].access.percentile(50))

    assert reader(slower_hops()) - reader({}) == pytest.approx(40, abs=1)


def test_half_the_channels_saturate_at_half_the_bandwidth() -> None:
    """Of both sockets, as `loaded` has it, and of one that streams."""
    halved = {"memory.dram.channels": machine().memory["dram"].channels // 2}
    assert loaded(0, 1500, halved).gbps / loaded(0, 2500).gbps == pytest.approx(0.5, abs=0.03)
    half, whole = stream_gbps(halved, accesses=1_000_000), stream_gbps(accesses=1_500_000)
    assert half / whole == pytest.approx(0.5, abs=0.03)


def test_one_link_of_three_carries_a_third() -> None:
    assert stream_gbps({"links.upi.count": 1}, membind=1, accesses=400_000) == pytest.approx(18.6, abs=1)


def test_without_refresh_the_idle_mean_falls_by_the_duty_cycles_share() -> None:
    """Nothing else changes: rows are shut by their idle timer long before a refresh would shut them."""
    dram = machine().memory["dram"]
    share = theory.refresh_mean_delay(dram.trefi_ns, dram.trfc_ns)
    on, off = (chase(changes, accesses=400_000).access for changes in ({}, {"memory.dram.trfc_ns": 0}))
    assert off.stack_ns["refresh"] == 0
    assert on.mean_ns - off.mean_ns == pytest.approx(share, rel=0.1)
    others = {cause: ns for cause, ns in moved(off.stack_ns, on.stack_ns).items() if cause != "refresh"}
    assert others == pytest.approx(dict.fromkeys(others, 0.0), abs=0.2)


@pytest.mark.parametrize(("trefi_ns", "trfc_ns"), [(3900.0, 350.0), (7800.0, 175.0), (7800.0, 550.0)])
def test_the_cost_of_refresh_goes_with_its_length_squared_over_its_interval(trefi_ns: float, trfc_ns: float) -> None:
    changed = {"memory.dram.trefi_ns": trefi_ns, "memory.dram.trfc_ns": trfc_ns}
    share = theory.refresh_mean_delay(trefi_ns, trfc_ns)
    assert chase(changed, accesses=400_000).access.stack_ns["refresh"] == pytest.approx(share, rel=0.15)


def time_each(result: Result) -> float:
    """Ns an access takes, others overlapping it or not."""
    return result.simulated_ns / result.access.count


def test_fill_buffers_do_nothing_for_a_chain() -> None:
    two = {"core.fill_buffers": 2}
    assert chase(two).access.total_ps == chase().access.total_ps


def test_two_fill_buffers_of_twelve_make_a_stream_six_times_as_slow() -> None:
    twelve, two = (
        run(machine(**ONE_BY_ONE, **{"core.fill_buffers": n}), "stream", pages="2m", warmup=0, accesses=60_000)
        for n in (12, 2)
    )
    assert time_each(two) / time_each(twelve) == pytest.approx(6, rel=0.05)


def test_fill_buffers_bound_independent_look_ups_in_proportion() -> None:
    """With every branch guessed, look-ups overlap as far as buffers go, until the window is what ends it: a look-up
    takes what it takes with one buffer over their number, or what it takes with all twelve."""

    def look_ups(buffers: int) -> float:
        changes = {**ONE_BY_ONE, "core.branch_predictor": "perfect", "core.fill_buffers": buffers}
        words: dict[str, Any] = {"length": "1e6", "dependent": "no", "pages": "2m", "warmup": 0, "accesses": 120_000}
        return float(run(machine(**changes), "tree", **words).operation.mean_ns)  # type: ignore[union-attr]

    one, two, four, twelve = (look_ups(n) for n in (1, 2, 4, 12))
    assert two == pytest.approx(one / 2, rel=0.1)
    assert four == pytest.approx(max(one / 4, twelve), rel=0.1)
    assert one / twelve > 2.5


def test_page_tables_on_the_other_node_lengthen_walks_only() -> None:
    here, there = (chase(pages="4k", page_tables=node).access.stack_ns for node in (0, 1))
    change = moved(here, there)
    assert change.pop("tlb_walk") > 3
    assert change == pytest.approx(dict.fromkeys(change, 0.0), abs=0.5)


def test_a_host_below_the_machine_lengthens_walks_only() -> None:
    """Small pages of a guest on small ones of the host. On the host's giant ones, all known, a walk is a native one and
    a look-up for the page, and one for its page table where the PDE is not known."""
    nested = {"tlb.walk": "nested", "tlb.nested_latency_cycles": 10}
    giant = {**nested, "tlb.host_page": "1g", "tlb.nested_entries": 256}
    native, large, small = (
        chase(changes, pages="4k").access.stack_ns for changes in ({}, giant, {**nested, "tlb.host_page": "4k"})
    )
    change = moved(native, small)
    assert change.pop("tlb_walk") > 20
    assert change == pytest.approx(dict.fromkeys(change, 0.0), abs=0.5)
    look_up = 10 / machine().core.frequency_ghz
    assert look_up * 0.9 < large["tlb_walk"] - native["tlb_walk"] < look_up * 2


def tree(dependent: str, **changes: object) -> Result:
    """Look-ups in a std::map of a million keys."""
    return run(machine(**changes), "tree", length="1e6", dependent=dependent, pages="2m", accesses=300_000)


def test_a_perfect_predictor_takes_branch_from_look_ups_that_cannot_overlap() -> None:
    """A window of 16 instructions holds some two levels of a tree of twenty: what is left to gain is the refill.

    (A longer one lets even dependent look-ups overlap then, as it would on a real core: the key decides branches only.)
    """
    window = {"core.rob_entries": 16}
    gshare, perfect = (tree("yes", **window, **{"core.branch_predictor": p}) for p in ("gshare", "perfect"))
    assert gshare.operation and perfect.operation
    change = moved(gshare.operation.stack_ns, perfect.operation.stack_ns)
    branch = change.pop("branch")
    assert branch == -gshare.operation.stack_ns["branch"] < -0.1 * gshare.operation.mean_ns
    assert change == pytest.approx(dict.fromkeys(change, 0.0), abs=0.03 * gshare.operation.mean_ns)


def test_a_perfect_predictor_lets_independent_look_ups_overlap() -> None:
    gshare, perfect = (tree("no", **{"core.branch_predictor": p}).operation for p in ("gshare", "perfect"))
    assert gshare and perfect
    assert gshare.mean_ns - perfect.mean_ns > 2 * gshare.stack_ns["branch"]


L3_BYTES = 8 << 20
SMALL = {  # an L3 small enough to be chased through sixteen times over, and little before it
    "l1d.size_bytes": 4096, "l1d.ways": 8, "l2.size_bytes": 16384, "l2.ways": 8, "l3.size_bytes": L3_BYTES,
    "l3.slices": 8, "l3.ways": 16,
}  # fmt: skip
POLICIES: dict[str, Callable[[int, int], float]] = {
    "lru": theory.cyclic_lru_hit_rate,
    "random": theory.cyclic_random_hit_rate,
    "rrip": theory.cyclic_srrip_hit_rate,
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_chase_round_the_l3_hits_as_its_policys_theory_says(policy: str) -> None:
    """At 0.5 to 16 times its size, by hit share and by mean latency."""
    sets, ways = L3_BYTES // 64 // 16, 16
    hit_ns = chase(SMALL, size="1MiB", pages="1g", warmup=1).access.mean_ns
    miss_ns = chase(SMALL, size=16 * L3_BYTES, pages="1g").access.mean_ns
    for times in (0.5, 1, 1.5, 2, 4, 16):
        size = int(times * L3_BYTES)
        share = theory.over_random_sets(POLICIES[policy], size // 64, sets, ways)
        words = {"size": size, "pages": "1g", "warmup": 2 if times <= 2 else 1, "accesses": min(size // 64, 300_000)}
        result = chase({**SMALL, "l3.policy": policy}, **words)
        assert l3_share(result) == pytest.approx(share, abs=0.03), times
        assert result.access.mean_ns == pytest.approx(miss_ns + share * (hit_ns - miss_ns), abs=2.5), times
