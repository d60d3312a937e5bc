"""Do memory channels keep to their timings, tight on both sides: not before t, and at t? By hand, on one channel.

Without a word of their own, times are the teaching machine's: activate 20, precharge 20, column 20, burst 10, row open
for at least 40 ns; and rows stay open (no idle timer) unless a test is about that.
"""

import itertools
import random

import pytest

from numasim.engine import dram
from theory import closed_forms as theory
from theory.memory_channels import Served, line_at, lines, one_channel

HIT, CLOSED, CONFLICT = 30, 50, 70  # ns: column and burst; activate before that; precharge before that
OPEN = {"idle_close_ns": 1e5}


def two_reads(gap: float, a: int, b: int, **changes: object) -> tuple[Served, Served]:
    first, second = one_channel(**OPEN | changes).run([(0.0, a), (gap, b)])
    return first, second


def test_a_closed_row_takes_activate_column_and_burst() -> None:
    (only,) = one_channel().run([(100.0, 5)])
    assert (only.ready, only.start, only.end) == (120, 120, 150)
    assert only.stack == {"memory": CLOSED}


def test_an_open_row_takes_column_and_burst() -> None:
    first, second = two_reads(500, *lines((0, 0), (0, 0)))
    assert (first.latency, second.latency) == (CLOSED, HIT)


@pytest.mark.parametrize(("after", "latency"), [(20, HIT), (20.001, CLOSED)])
def test_the_idle_timer_closes_a_row_just_after_its_time(after: float, latency: float) -> None:
    """The bank is free from 30 on, when the first read's burst has passed the bus: 20 ns later the row closes."""
    _, second = two_reads(30 + after, *lines((0, 0), (0, 0)), idle_close_ns=20)
    assert second.latency == latency


def test_another_row_of_the_bank_waits_for_precharge() -> None:
    _, second = two_reads(500, *lines((0, 0), (0, 1)))
    assert second.latency == CONFLICT


@pytest.mark.parametrize(("tras", "gap", "end"), [(40, 30, 110), (60, 30, 130), (60, 59, 130), (60, 61, 131)])
def test_a_row_stays_open_for_tras(tras: float, gap: float, end: float) -> None:
    """Row 0 is opened at 0, so it may close from tRAS on: data is there 70 ns after that, or after the request."""
    _, second = two_reads(gap, *lines((0, 0), (0, 1)), tras_ns=tras)
    assert second.end == end


def test_a_bank_serves_one_read_at_a_time() -> None:
    """A second read of the row, come meanwhile, is ready when the first one's burst has left the bank: 20 + 10."""
    first, second = two_reads(1, *lines((0, 0), (0, 0)))
    assert first.end == CLOSED
    assert (second.ready, second.start, second.end) == (30, 30, 60)
    assert second.stack == {"memory_wait": 29, "memory": HIT}


def test_banks_open_rows_at_once_and_share_the_bus() -> None:
    """Four banks, all ready at 20: bursts follow each other on the bus, in the order in which they came."""
    served = one_channel().run([(0.0, line) for line in lines((0, 0), (1, 0), (2, 0), (3, 0))])
    assert [s.start for s in served] == [20, 30, 40, 50]
    assert [s.end for s in served] == [50, 60, 70, 80]
    assert [s.stack.get("memory_wait", 0) for s in served] == [0, 10, 20, 30]


@pytest.mark.parametrize(("gap", "start"), [(9, 30), (10, 30), (11, 31)])
def test_the_bus_is_taken_as_soon_as_it_is_free(gap: float, start: float) -> None:
    """The first burst passes from 20 to 30. A second bank's, ready at 20 + gap, starts then or when it is ready."""
    _, second = two_reads(gap, *lines((0, 0), (1, 0)))
    assert second.start == start


GROUPED = {"bank_groups": 2, "banks_per_group": 4, "tccd_l_ns": 15}


@pytest.mark.parametrize(("bank", "start"), [(1, 35), (4, 30)])
def test_a_bank_group_needs_tccd_l_between_its_columns(bank: int, start: float) -> None:
    """Banks 0 and 1 are of one group, 0 and 4 of two."""
    _, second = two_reads(0, *lines((0, 0), (bank, 0), **GROUPED), **GROUPED)
    assert second.start == start


@pytest.mark.parametrize(("gap", "start"), [(14, 35), (15, 35), (16, 36)])
def test_tccd_l_is_tight(gap: float, start: float) -> None:
    _, second = two_reads(gap, *lines((0, 0), (1, 0), **GROUPED), **GROUPED)
    assert second.start == start


RANKED = {"ranks": 2, "banks_per_group": 4, "rank_switch_ns": 7}


@pytest.mark.parametrize(("bank", "gap", "start"), [(1, 0, 30), (4, 0, 37), (4, 16, 37), (4, 17, 37), (4, 18, 38)])
def test_another_rank_costs_a_gap_on_the_bus(bank: int, gap: float, start: float) -> None:
    """Banks 4 to 7 are of rank 1. The gap counts from the end of the burst before."""
    _, second = two_reads(gap, *lines((0, 0), (bank, 0), **RANKED), **RANKED)
    assert second.start == start


def test_the_bus_takes_whoever_needs_no_gap_first() -> None:
    """At 30, when the first burst has passed, one of the same group and one of another are ready: that one first."""
    a, same, other = lines((0, 0), (1, 0), (4, 0), **GROUPED)
    served = one_channel(**GROUPED).run([(0.0, a), (0.5, same), (1.0, other)])
    assert [s.start for s in served] == [20, 40, 30]


@pytest.mark.parametrize("tfaw", [0, 50, 90])
def test_a_rank_opens_four_rows_in_tfaw(tfaw: float) -> None:
    """Nine banks at once: the fifth row opens tFAW after the first, the ninth after the fifth, each ready 20 later."""
    served = one_channel(banks_per_group=16, tfaw_ns=tfaw).run(
        [(0.0, line) for line in lines(*[(bank, 0) for bank in range(9)], banks_per_group=16)]
    )
    assert [s.ready for s in served] == [20 + tfaw * (k // 4) for k in range(9)]


@pytest.mark.parametrize(("gap", "ready"), [(69, 90), (70, 90), (71, 91)])
def test_tfaw_is_tight(gap: float, ready: float) -> None:
    """Four rows open at 0; a fifth may from 70 on, in the other rank at once."""
    shape = RANKED | {"tfaw_ns": 70}
    banks = lines(*[(bank, 0) for bank in range(8)], **shape)
    served = one_channel(**shape).run([*((0.0, line) for line in banks[:4]), (1.0, banks[4])])
    assert served[-1].ready == 21
    five = lines(*[(bank, 0) for bank in range(5)], tfaw_ns=70)
    assert one_channel(tfaw_ns=70).run([*((0.0, x) for x in five[:4]), (gap, five[4])])[-1].ready == ready


def test_an_open_row_counts_for_nothing_in_tfaw() -> None:
    rows = lines((0, 0), *[(0, 0)] * 5, (1, 0), tfaw_ns=500)
    served = one_channel(**OPEN, tfaw_ns=500).run([(100.0 * k, line) for k, line in enumerate(rows)])
    assert [s.latency for s in served] == [CLOSED, *[HIT] * 5, CLOSED]


# ---- which request next --------------------------------------------------------------------------------------------


def order(requests: list[tuple[float, int]], **changes: object) -> list[int]:
    """In which order the requests' data came, by their place in the list."""
    channels = one_channel(**OPEN | changes)
    channels.run(requests)
    return [[line for _, line in requests].index(line) for line in channels.order]


@pytest.mark.parametrize("cap", [1, 2, 4])
def test_row_hits_go_first_up_to_the_cap(cap: int) -> None:
    """Row 0 is being opened; one that wants row 1 waits, then six more for row 0: `cap` of these pass it."""
    a, other, *more = lines((0, 0), (0, 1), *[(0, 0)] * 6)
    got = order([(0.0, a), (1.0, other), *((2.0 + k, line) for k, line in enumerate(more))], row_hit_cap=cap)
    assert got == [0, *range(2, 2 + cap), 1, *range(2 + cap, 8)]


def test_the_oldest_goes_first_if_nothing_hits() -> None:
    banks = lines((0, 0), (0, 1), (0, 2), (0, 3))
    assert order([(float(k), line) for k, line in enumerate(banks)]) == [0, 1, 2, 3]


def test_nobody_ready_waits_longer_than_the_starvation_time() -> None:
    """Two banks of one rank keep the bus without a gap, so that one of the other rank, which needs a gap, never fits
    as soon as they: it waits to the end, 24 bursts. Unless it has been ready for 100 ns: then it is the next."""
    busy = lines(*[(k % 2, 0) for k in range(24)], (4, 0), **RANKED)

    def waited(starvation: float) -> float:
        channels = one_channel(**OPEN | RANKED, starvation_ns=starvation, row_hit_cap=1000, queue_entries=48)
        victim = channels.run([*((0.0, line) for line in busy[:-1]), (1.0, busy[-1])])[-1]
        return victim.start - victim.ready

    assert waited(10_000) == 20 + 24 * 10 + 7 - 21
    assert 100 < waited(100) <= 100 + 10 + 7, "a burst may be under way when its time is up, and it needs its gap"


@pytest.mark.parametrize("entries", [1, 2, 5])
def test_a_full_queue_keeps_requests_outside_in_order(entries: int) -> None:
    """The others come in one by one, oldest first, as places fall free: with a single place nobody overtakes."""
    rng = random.Random(1)
    channels = one_channel(queue_entries=entries)
    served = channels.run([(float(k), line) for k, line in enumerate(rng.sample(range(4096), 60))])
    assert channels.most == entries
    starts = [s.start for s in served]
    for k, mine in enumerate(starts):
        assert sum(start > mine for start in starts[:k]) < entries, "only those who had a place are overtaken"


@pytest.mark.parametrize("entries", [2, 16])
def test_every_request_is_served_once_and_its_stack_is_its_latency(entries: int) -> None:
    """Four bursts of 250 reads and as many writes at random, refresh on: conservation on a busy channel, and the bus
    never carries two things at once."""
    rng = random.Random(entries)
    channels = one_channel(queue_entries=entries, trfc_ns=150.0, trefi_ns=2000.0, ranks=2, banks_per_group=4)
    requests = [(rng.uniform(0, 3000) + 10_000 * (k % 4), line) for k, line in enumerate(rng.sample(range(9999), 1000))]
    writes = [(rng.uniform(0, 40_000), rng.randrange(9999)) for _ in range(1000)]
    served = channels.run(requests, writes)
    assert sorted(s.line for s in served) == sorted(line for _, line in requests)
    for s, (came, _) in zip(served, requests, strict=True):
        assert sum(s.stack.values()) == pytest.approx(s.end - s.came)
        assert s.came == pytest.approx(came, abs=1e-3) and s.latency >= HIT
    starts = sorted(s.start for s in served)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(starts))
    c = channels.d.first[0] << dram.CHAN
    assert channels.d.chan[c + dram.QUEUED] == channels.d.chan[c + dram.HELD] == 0
    assert channels.d.chan[c + dram.READY] == -1
    assert channels.d.busy[0] == 1000 * 10_000
    assert channels.d.busy[1] == (1000 - channels.d.chan[c + dram.WRITES]) * 10_000


# ---- refresh -------------------------------------------------------------------------------------------------------

REFRESH = {"trefi_ns": 1000.0, "trfc_ns": 200.0}


@pytest.mark.parametrize(
    ("came", "delay"), [(999.999, 0), (1000, 200), (1000.001, 199.999), (1100, 100), (1199, 1), (1200, 0), (1201, 0)]
)
def test_a_refresh_begins_when_due_and_takes_trfc(came: float, delay: float) -> None:
    (only,) = one_channel(**REFRESH).run([(came, 5)])
    assert only.stack.get("refresh", 0) == pytest.approx(delay)
    assert only.latency == pytest.approx(CLOSED + delay)


def test_a_refresh_closes_rows() -> None:
    a, b = lines((0, 0), (0, 0))
    first, second = one_channel(**REFRESH, **OPEN).run([(900.0, a), (1500.0, b)])
    assert (first.latency, second.latency) == (CLOSED, CLOSED)
    first, second = one_channel(**REFRESH, **OPEN).run([(1300.0, a), (1500.0, b)])
    assert (first.latency, second.latency) == (CLOSED, HIT)


def test_reads_at_random_times_wait_for_refresh_by_its_duty_cycle() -> None:
    rng = random.Random(2)
    requests = [(1300.0 * k + rng.uniform(0, 1000), rng.randrange(4096)) for k in range(20_000)]
    delays = []
    channels = one_channel(**REFRESH)
    for k in range(0, len(requests), 1000):
        delays += [s.stack.get("refresh", 0) for s in channels.run(requests[k : k + 1000])]
    # of a delay that is uniform up to 200 ns once in five times, the mean of 20,000
    square = 0.2 * 200 * 200 / 3
    mean = theory.refresh_mean_delay(1000.0, 200.0)
    assert sum(delays) / len(delays) == pytest.approx(mean, abs=4 * (square - mean**2) ** 0.5 / 20_000**0.5)
    assert sum(d > 0 for d in delays) / len(delays) == pytest.approx(theory.refresh_share(1000.0, 200.0), abs=0.012)


def test_refresh_takes_its_share_of_a_busy_channels_bandwidth() -> None:
    """Always more than enough requests: one refresh of 100 ns falls due every 500, and all but eight are made."""
    requests = [(0.0, line) for line in range(1000)]
    slow, fast = (
        max(s.end for s in one_channel(**OPEN, **r, banks_per_group=16).run(requests))
        for r in ({"trefi_ns": 500.0, "trfc_ns": 100.0}, {})
    )
    expected = (fast - 8 * 100) / (1 - theory.refresh_share(500.0, 100.0))
    assert slow == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("bank", "start"), [(1, 1220), (8, 1020)])
def test_no_data_leaves_a_rank_while_it_is_refreshed(bank: int, start: float) -> None:
    """A row is ready at 990, when the bus is taken to 1,020: not before the refresh of rank 0, which begins at 1,000,
    closes its rows and ends at 1,200. Then it is opened again, 20. Banks from 8 on are in the other rank."""
    shape = {"ranks": 2, "banks_per_group": 8, "burst_ns": 50.0} | REFRESH | OPEN
    first, a, noticed = lines((0, 0), (bank, 0), (2, 0), **shape)
    channels = one_channel(**shape)
    served = channels.run([(950.0, first), (970.0, a), (1005.0, noticed)])
    assert [s.start for s in served] == [970, start, 1220 if start == 1020 else 1270]
    for s in served:
        assert sum(s.stack.values()) == pytest.approx(s.latency)
    assert served[1].stack.get("refresh", 0) == (220 if start == 1220 else 0), "from its begin until the row is open"
    if start == 1220:
        (later,) = channels.run([(1900.0, line_at(channels, bank, 0, 5))])
        assert later.latency == 20 + 50, "the row stands open again"
