"""Do effects follow from causes? Change one thing; what depends on it moves as it must, and nothing else does."""

import numpy as np
import pytest

from numasim.results import Result
from numasim.study.run import run
from theory.closed_forms import cyclic_lru_hit_rate, cyclic_random_hit_rate, cyclic_srrip_hit_rate
from validation import figures

UPI = "links.upi.latency_ns"


def chase(memory: int, *changes: tuple[str, object], **words: object) -> Result:
    kind = {"size": "512MiB", "pages": "2m", "accesses": 60_000, "warmup": 0} | words
    return run(figures.model(*changes), "chase", cpunodebind=0, membind=memory, **kind)


def test_a_longer_hop_costs_a_remote_access_twice_and_a_local_one_nothing() -> None:
    before = figures.model().links["upi"].latency_ns
    longer = (UPI, before + 20)
    assert figures.idle(1, longer) - figures.idle(1) == pytest.approx(40, abs=1)  # out and back
    assert figures.idle(0, longer) == figures.idle(0)


def test_half_the_channels_carry_half() -> None:
    half = figures.loaded(0, "1:0", 3_000, ("memory.dram.channels", 4))[0]
    assert half / figures.loaded(0, "1:0", 3_000)[0] == pytest.approx(0.5, abs=0.03)


def test_one_link_of_three_carries_a_third() -> None:
    assert figures.bandwidth(1, ("links.upi.count", 1)) == pytest.approx(18.6, abs=1)


def test_without_refresh_its_cause_is_gone_and_its_share_of_the_mean() -> None:
    dram = figures.model().memory["dram"]
    share = dram.trfc_ns**2 / (2 * dram.trefi_ns)  # the wait of an access that comes at a random time
    without = chase(0, ("memory.dram.trfc_ns", 0.0), accesses=300_000)
    assert without.access.stack_ns["refresh"] == 0
    assert chase(0, accesses=300_000).access.mean_ns - without.access.mean_ns == pytest.approx(share, rel=0.1)


def test_two_fill_buffers_leave_the_chase_alone_and_throttle_streams() -> None:
    few = (("core.fill_buffers", 2), ("core.prefetch_buffers", 0))
    none = (("core.prefetch_buffers", 0),)
    assert chase(0, *few).access.mean_ns == chase(0, *none).access.mean_ns
    words = {"pages": "2m", "accesses": 60_000, "warmup": 0}
    open_rows = (
        "memory.dram.idle_close_ns",
        100_000.0,
    )  # a slow stream comes back to a row later, which is another effect
    few, none = (*few, open_rows), (*none, open_rows)
    full, throttled = (run(figures.model(*c), "stream", **words).groups["stream"].read_gbps for c in (none, few))
    assert throttled / full == pytest.approx(2 / 12, rel=0.1)


def test_remote_page_tables_lengthen_walks_only() -> None:
    near, far = (chase(0, pages="4k", page_tables=node).access.stack_ns for node in (0, 1))
    assert far["tlb_walk"] > 1.3 * near["tlb_walk"]
    rest = sum(near.values()) - near["tlb_walk"], sum(far.values()) - far["tlb_walk"]
    assert rest[1] == pytest.approx(rest[0], rel=0.02)


def test_a_perfect_predictor_takes_branches_away_and_lets_look_ups_overlap() -> None:
    def look_ups(dependent: str, predictor: str) -> Result:
        machine = figures.model(("core.branch_predictor", predictor))
        return run(machine, "tree", length=512, dependent=dependent, accesses=60_000)

    guessing, perfect = look_ups("no", "gshare"), look_ups("no", "perfect")
    assert guessing.operation is not None and perfect.operation is not None
    assert perfect.operation.stack_ns["branch"] == 0 < guessing.operation.stack_ns["branch"]
    assert perfect.operation.mean_ns < 0.5 * guessing.operation.mean_ns  # they overlap
    for cause, ns in perfect.access.stack_ns.items():  # the accesses are what they were
        assert ns == pytest.approx(guessing.access.stack_ns[cause], abs=0.1)


@pytest.mark.parametrize("policy", ["lru", "random", "rrip"])
def test_another_l3_policy_moves_a_cyclic_chase_as_its_theory_says(policy: str) -> None:
    # small caches, so that laps are short; L2 far smaller than the L3, whose hits it then does not take
    changes = (
        ("l3.policy", policy), ("l3.size_bytes", 1 << 20), ("l3.ways", 16), ("l3.slices", 4), ("l2.size_bytes", 40960),
        ("l1d.size_bytes", 4096), ("l1d.ways", 1),
    )  # fmt: skip
    for times in (0.5, 2, 4):
        size = int(times * (1 << 20))
        result = chase(0, *changes, size=size, accesses=6 * size // 64, warmup=4)
        hits = 1 - result.counters.get("LLC-load-misses", 0) / max(result.counters["LLC-loads"], 1)
        print(f"{policy} {times} x L3: {100 * hits:.1f} % hits, {result.access.mean_ns:.1f} ns")
        if times < 1:
            assert hits > 0.9  # hashed sets: a few overflow
        elif policy in ("lru", "rrip"):
            assert cyclic_lru_hit_rate(size, 1 << 20) == 0 == cyclic_srrip_hit_rate(size, 1 << 20)
            assert hits < 0.12 / times  # but for sets of the hash that are less than full
        else:
            expected = cyclic_random_hit_rate(size // 64, (1 << 20) // 64)
            assert hits == pytest.approx(expected, abs=0.06)


def test_latency_rises_with_bandwidth() -> None:
    points = sorted(figures.loaded(delay) for delay in (20_000, 130, 60, 0))
    assert np.all(np.diff([ns for _, ns in points]) > 0)
