"""Do posted writes gather and drain as they should, do lines lie where they should, does a curve give itself back?"""

import itertools
from collections import Counter

import pytest

from numasim.engine import dram
from theory.memory_channels import Channels, line_at, lines, one_channel
from theory.small_runs import teaching, with_curve

OPEN = {"idle_close_ns": 1e5}  # rows stay open


def waiting(channels: Channels) -> tuple[int, int]:
    """Writes that gather in the first channel, and those that hold banks."""
    c = channels.d.first[0] << dram.CHAN
    return channels.d.chan[c + dram.WRITES], channels.d.chan[c + dram.HELD]


def bus_free(channels: Channels) -> float:
    return float(channels.d.chan[(channels.d.first[0] << dram.CHAN) + dram.BUS]) / 1000


def test_writes_gather_and_drain_down_to_the_low_mark() -> None:
    """Eleven writes cost nothing; the twelfth (the high mark) drains eight, after which four are left."""
    channels = one_channel()
    writes = lines(*((k % 8, 0) for k in range(12)))
    channels.run([], [(0.0, line) for line in writes[:11]])
    assert (waiting(channels), bus_free(channels), channels.d.busy[1]) == ((11, 0), 0, 0)
    channels.run([], [(100.0, writes[11])])
    assert waiting(channels) == (4, 0)
    assert channels.d.busy[1] == 8 * 10_000


def test_a_batch_turns_the_bus_round_twice() -> None:
    """Rows of eight banks stand open; the batch of eight takes the bus for 10 + 8 x 10 + 10 ns, and a read that comes
    meanwhile waits for that."""
    channels = one_channel(**OPEN)
    banks = [(k, 0) for k in range(8)]
    opened, writes = lines(*banks, *banks, *banks[:4])[:8], lines(*banks, *banks, *banks[:4])[8:]
    channels.run([(0.0, line) for line in opened])
    channels.run([], [(1000.0, line) for line in writes])
    assert bus_free(channels) == 1000 + 10 + 8 * 10 + 10
    (read,) = channels.run([(1001.0, line_at(channels, 7, 0, 5))])
    assert read.start == pytest.approx(1100)


def test_banks_open_the_rows_of_writes_at_once() -> None:
    """Eight closed banks: 20 to open all rows, then one batch as above."""
    channels = one_channel(**OPEN)
    channels.run([], [(0.0, line) for line in lines(*((k % 8, 0) for k in range(12)))])
    assert bus_free(channels) == 20 + 10 + 8 * 10 + 10


def test_writes_to_rows_of_one_bank_follow_each_other() -> None:
    """Each of the eight takes the bank for its turnaround 10 and data 10, is recovered from for 10 more, and the next
    row is opened after a precharge, 20 + 20."""
    channels = one_channel(**OPEN)
    channels.run([], [(0.0, line) for line in lines(*((0, row) for row in range(12)))])
    cycle = 10 + 10 + 10 + 20 + 20
    assert bus_free(channels) == 20 + 7 * cycle + 10 + 10 + 10


def test_a_row_opened_for_a_read_is_not_closed_for_a_write() -> None:
    """A read has opened its row (ready at 120) when twelve writes to another row of the bank must drain: they get the
    bank when its data has left, at 130, may close the row at 140 (tRAS), and open their own by 180."""
    read, *writes = lines((0, 0), *[(0, 1)] * 12)
    channels = one_channel(**OPEN)
    arrivals = [*((0.0, line) for line in writes[:11]), (110.0, writes[11])]
    (served,) = channels.run([(100.0, read)], arrivals)
    assert (served.ready, served.start, served.stack) == (120, 120, {"memory": 50})
    cycle = 10 + 10 + 10  # in an open row: turnaround, data, recovery
    assert bus_free(channels) == max(130, 100 + 40) + 40 + 7 * cycle + 10 + 10 + 10
    assert channels.d.busy[1] == 80_000


@pytest.mark.parametrize("low", [2, 4])
def test_reads_have_the_bus_until_enough_writes_are_ready(low: int) -> None:
    """Two banks serve reads all the time; `low` others open rows for writes at 110, so that these are ready at 130.
    Until then, and until as many are ready for the second batch, the bus carries reads without a gap."""
    shape = OPEN | {"write_low": low, "write_high": low + 2 * low, "queue_entries": 64}
    busy = lines(*[(6 + k % 2, 0) for k in range(32)], **shape)
    writes = lines(*[(k % low, k // low) for k in range(3 * low)], **shape)
    channels = one_channel(**shape)
    served = channels.run([(0.0, line) for line in busy], [(110.0, line) for line in writes])
    starts = sorted(s.start for s in served)
    gaps = [(a, b - a) for a, b in itertools.pairwise(starts) if b - a > 10]
    batch = 10 + low * 10 + 10
    assert [gap for _, gap in gaps] == [10 + batch] * 2, "the bus turns round twice a batch, and there are two"
    assert gaps[0][0] == 120, "the last read before the rows are open"
    # the last bank's next row: turnaround, data of all, recovery, precharge, activate; then the read under way ends
    assert gaps[1][0] == 130 + 10 + low * 10 + 10 + 20 + 20 - 10
    assert waiting(channels) == (low, 0)


def test_a_read_of_a_bank_that_a_write_holds_waits_for_its_batch() -> None:
    """Rows are ready at 20, data of the k-th write passes from 30 + 10 k on, and its bank is recovered 10 after that;
    then the read opens its row, 40. The bus is theirs at 120."""
    channels = one_channel(**OPEN)
    writes = lines(*((k % 8, 0) for k in range(12)))
    reads = [(1.0, line_at(channels, bank, 1)) for bank in range(8)]
    served = channels.run(reads, [(0.0, line) for line in writes])
    expected, bus = [], 120
    for k in range(8):
        expected.append(max(bus, 30 + 10 * k + 10 + 10 + 40))
        bus = expected[-1] + 10
    assert sorted(s.start for s in served) == expected


def test_a_read_behind_a_write_waits_no_longer_than_the_starvation_time_a_batch() -> None:
    """Four banks keep the bus busy with reads; eight writes of other banks want it too, never four at once: each has
    its row open no longer than the starvation time, and so a read of their bank waits for five such batches at most.
    """
    shape = OPEN | {"queue_entries": 64, "starvation_ns": 200.0}
    writes = lines(*[(0, row) for row in range(9)], (1, 0), (2, 0), (3, 0), **shape)
    (victim,) = lines((0, 20), **shape)
    busy = lines(*[(4 + k % 4, 0) for k in range(64)], **shape)
    reads = [(10.0 * k, busy[k % 64]) for k in range(600)]
    channels = one_channel(**shape)
    *others, read = channels.run([*reads, (101.0, victim)], [(100.0, line) for line in writes])
    batch = 10 + 4 * 10 + 10  # of at most four writes
    assert channels.d.busy[1] == 8 * 10_000
    assert read.latency <= 5 * (40 + 200 + 10 + batch + 10) + 70
    assert max(s.latency for s in others) < 1000


def test_with_every_entry_taken_a_write_costs_no_time() -> None:
    """128 entries: nothing is overwritten beyond them, whatever comes."""
    channels = one_channel(write_high=1024, write_low=1023)
    writes = lines(*((k % 8, k // 128) for k in range(400)))
    channels.run([], [(0.0, line) for line in writes])
    assert sum(waiting(channels)) < 128
    (read,) = channels.run([(100_000.0, line_at(channels, 1, 9))])
    assert read.latency == 50 or read.latency == 70


# ---- where lines lie, and the alternative to channels --------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"channels": 8, "ranks": 2, "bank_groups": 4, "banks_per_group": 4}])
def test_places_are_lines_turned_round(shape: dict[str, int]) -> None:
    """No row holds more lines than it has room for, and lines in a row meet all channels equally often."""
    channels = Channels(teaching(**{f"memory__dram__{k}": v for k, v in shape.items()}))
    n = shape.get("channels", 2)
    places = Counter(channels.place(line) for line in range(1 << 15))
    assert set(places.values()) == {16}
    for first in (0, 977, 12_345):
        met = Counter(channels.place(line)[0] for line in range(first // n * n, first // n * n + 64))
        assert set(met.values()) == {64 // n}


def test_a_curve_gives_its_own_latency_back() -> None:
    """Requests at a steady rate take what the curve says of their bandwidth, to a 64th of its peak."""
    points = [[0.0, 80.0], [20.0, 90.0], [40.0, 130.0], [50.0, 250.0]]
    for gbps in (1.0, 10.0, 20.0, 30.0, 40.0, 45.0):
        machine = with_curve(points, 50.0)
        channels = Channels(machine)
        gap, latencies = 64 / gbps, []
        for k in range(400):
            m, now = channels.m, round(k * gap * 1000)
            end = dram.by_curve(channels.d, channels.s, m.control, m.links, 0, 0, now)
            latencies.append(end / 1000 - k * gap)
        low, high = (_curve(points, gbps + d * 50 / 64) for d in (-1.5, 1.5))
        assert low - 0.1 <= latencies[-1] <= high + 0.1, gbps
        assert latencies[0] == pytest.approx(80)


def _curve(points: list[list[float]], gbps: float) -> float:
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if gbps <= x1:
            return y0 + (y1 - y0) * max(gbps - x0, 0) / (x1 - x0)
    return points[-1][1]


def test_a_curve_lets_no_more_than_its_peak_pass() -> None:
    channels = Channels(with_curve([[0.0, 80.0], [50.0, 250.0]], 64.0))
    ends = [dram.by_curve(channels.d, channels.s, channels.m.control, channels.m.links, 0, 0, 0) for _ in range(1000)]
    assert (ends[-1] - ends[500]) / 499 == pytest.approx(1000, rel=1e-3)  # ps a line at 64 GB/s
