"""Do posted writes gather and drain as they should, do lines lie where they should, does a curve give itself back?"""

import itertools
from collections import Counter

import pytest

from numasim.engine import dram
from theory.memory_channels import Channels, line_at, lines, one_channel
from theory.small_runs import teaching, with_curve

OPEN = {"idle_close_ns": 1e5}  # rows stay open


def test_writes_gather_and_drain_down_to_the_low_mark() -> None:
    """Eleven writes cost nothing; the twelfth (the high mark) drains eight, after which four are left."""
    channels = one_channel()
    c = channels.d.first[0] << dram.CHAN
    writes = lines(*((k % 8, 0) for k in range(12)))
    channels.run([], [(0.0, line) for line in writes[:11]])
    assert (channels.d.chan[c + dram.WRITES], channels.d.chan[c + dram.BUS], channels.d.busy[1]) == (11, 0, 0)
    channels.run([], [(100.0, writes[11])])
    assert channels.d.chan[c + dram.WRITES] == 4
    assert channels.d.busy[1] == 8 * 10_000


def test_a_batch_turns_the_bus_round_twice() -> None:
    """Rows of eight banks stand open; the batch of eight takes the bus for 10 + 8 x 10 + 10 ns, and a read that comes
    meanwhile waits for that, unless its bank needs it first."""
    channels = one_channel(**OPEN)
    banks = [(k, 0) for k in range(8)]
    opened, writes = lines(*banks, *banks, *banks[:4])[:8], lines(*banks, *banks, *banks[:4])[8:]
    channels.run([(0.0, line) for line in opened])
    channels.run([], [(1000.0, line) for line in writes])
    c = channels.d.first[0] << dram.CHAN
    assert channels.d.chan[c + dram.BUS] == 1_100_000
    (read,) = channels.run([(1001.0, line_at(channels, 7, 0, 5))])
    assert read.start == pytest.approx(1100)


def test_writes_to_closed_rows_take_longer() -> None:
    """Each of the eight drained opens its row; all in one bank they take tRAS + tRP each, or tRCD + burst if longer."""
    channels = one_channel(**OPEN)
    channels.run([], [(0.0, line) for line in lines(*((0, row) for row in range(12)))])
    c = channels.d.first[0] << dram.CHAN
    batch = channels.d.chan[c + dram.BUS] / 1000 - 20
    assert batch >= 7 * 60, "the bank opens a row every tRAS + tRP = 60 ns"
    assert batch <= 8 * 80


def test_a_batch_may_close_a_row_that_a_read_has_opened() -> None:
    """A read has opened its row (ready at 120) when a batch of eight to another row of the bank takes the bus: at least
    10 to turn round, 40 for its row, 80 of data and 10 to turn back; then the read's row is opened again, 40."""
    read, *writes = lines((0, 0), *[(0, 1)] * 12)
    channels = one_channel(**OPEN)
    arrivals = [*((0.0, line) for line in writes[:11]), (110.0, writes[11])]
    (served,) = channels.run([(100.0, read)], arrivals)
    assert channels.d.busy[1] == 80_000
    assert served.ready == 120
    assert 110 + 10 + 40 + 80 + 10 + 40 <= served.start <= 110 + 2 * (10 + 40 + 80 + 10 + 40)
    assert sum(served.stack.values()) == pytest.approx(served.latency)


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
            end = dram.by_curve(channels.d, channels.s, channels.control, channels.links, 0, 0, round(k * gap * 1000))
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
    ends = [dram.by_curve(channels.d, channels.s, channels.control, channels.links, 0, 0, 0) for _ in range(1000)]
    assert (ends[-1] - ends[500]) / 499 == pytest.approx(1000, rel=1e-3)  # ps a line at 64 GB/s
