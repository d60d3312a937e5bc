"""Does the model of the 2 x Xeon Platinum 8360Y show what was measured on it?

Each test prints expected, simulated, deviation and band. All on the same constants: those the model file has.
"""

import statistics
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from numasim.machine import Machine
from theory.closed_forms import md1_wait
from validation.measured import (
    HOST,
    Figure,
    Level,
    chase,
    check,
    core_to_core,
    errors,
    handover,
    l3_share,
    loaded,
    loaded_curve,
    machine,
    published,
    stream_gbps,
    within,
)

Floats = npt.NDArray[np.float64]
KNEE_GBPS = 340  # above it the published curve is a wall
LEVELS = [  # delay in cycles, accesses of the chaser: some 3 GB/s to saturation
    (0, 2500), (41, 2500), (45, 2500), (50, 2500), (60, 3000), (80, 4000), (100, 4000), (130, 6000), (170, 6000),
    (250, 6000), (400, 8000), (700, 8000), (1500, 8000), (6000, 10000),
]  # fmt: skip
SAME_SOCKET = [(0, 1), (0, 35), (5, 30), (11, 12), (20, 33), (37, 70), (50, 51)]
TWO_SOCKETS = [(0, 36), (3, 71), (17, 40), (35, 60), (44, 9)]
# Which figures each fitted constant was fitted to; what it takes to be right about the others is in no constant.
FITTED_TO = {
    "core.prefetch_buffers": ["one core at 2.4 GHz", "latency there"],
    "fabric.controller_ns": ["idle, local"],
    "fabric.snoop_ns": ["HIT in a socket"],
    "fabric.snoop_dirty_ns": ["HITM in a socket"],
    "links.upi.latency_ns": ["idle, remote"],
    "links.upi.data_bytes": ["36 cores, remote"],
}
FIGURES = [
    "idle, local", "idle, remote", "L1", "L2", "L3", "36 cores, local", "36 cores, remote", "one core at 2.4 GHz",
    "median error below 340 GB/s", "largest error below 340 GB/s", "saturated bandwidth", "latency there",
    "reads:writes 2:1", "reads:writes 1:1", "HIT in a socket", "HITM in a socket", "HITM, homed in the writer",
    "HITM, homed in the reader", "one way in a socket", "one way across",
]  # fmt: skip


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints whether or not pytest captures."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(text)

    return line


@pytest.fixture(scope="module")
def levels() -> list[Level]:
    return [loaded(delay, accesses) for delay, accesses in LEVELS]


def test_idle_latency(show: Callable[[str], None]) -> None:
    local, remote = chase(), chase(membind=1)
    share = f"(L3 hit share {100 * l3_share(local):.1f} %, {100 * l3_share(remote):.1f} %)"
    expected = [published("idle_latency.csv", cpu_node=0, mem_node=node) for node in (0, 1)]
    cycle = 1 / machine().core.frequency_ghz
    l3 = chase(size="8MiB", warmup=1).access.mean_ns
    check(
        show,
        [
            within("idle, local", "ns", expected[0], local.access.mean_ns, 3),
            within(f"idle, remote {share}", "ns", expected[1], remote.access.mean_ns, 3),
            within("L1", "cycles", 5, chase(size="16KiB", warmup=1).access.mean_ns / cycle, 5),
            within("L2", "cycles", 14, chase(size="512KiB", warmup=1).access.mean_ns / cycle, 5),
            Figure("L3", "ns", 22, l3, 19, 25),
        ],
    )


def test_idle_latency_holds_refresh_by_its_duty_cycle() -> None:
    """What the mean has beyond the usual latency is the wait for refreshes, no more and no less."""
    access = chase().access
    assert access.mean_ns - access.percentile(50) == pytest.approx(access.stack_ns["refresh"], rel=0.1)


def test_read_bandwidth(show: Callable[[str], None]) -> None:
    expected = [published("read_bandwidth.csv", cpu_node=0, mem_node=node) for node in (0, 1)]
    one = stream_gbps({"core.frequency_ghz": 2.4}, threads=1, accesses=200_000)
    check(
        show,
        [
            within("36 cores, local", "GB/s", expected[0], stream_gbps(accesses=2_000_000), 5),
            within("36 cores, remote", "GB/s", expected[1], stream_gbps(membind=1), 5),
            within("one core at 2.4 GHz", "GB/s", published("read_bandwidth_by_cores.csv", cores=1), one, 15),
        ],
    )


def test_latency_under_load(levels: list[Level], show: Callable[[str], None]) -> None:
    bandwidth, latency = loaded_curve()
    below = [level for level in levels if level.gbps < KNEE_GBPS]
    expected = np.interp([level.gbps for level in below], bandwidth, latency)
    show(f"\n  {'delay':>6} {'GB/s':>7} {'measured':>9} {'simulated':>9}")
    for level, measured in zip(below, expected, strict=True):
        off = 100 * (level.latency_ns / measured - 1)
        show(f"  {level.delay:6} {level.gbps:7.1f} {measured:9.1f} {level.latency_ns:9.1f} ns  {off:+5.1f} %")
    ours = errors((level.latency_ns for level in below), expected)
    show(f"  beside it, median and largest error: a constant 96 ns {said(errors([96.0] * len(below), expected))}")
    queue = md1_fitted(bandwidth, latency)
    show(f"  M/D/1 with three constants fitted to it {said(errors([queue(level.gbps) for level in below], expected))}")
    full = levels[0]
    top = published("loaded_latency.csv", inject_delay_cycles=0)
    at_top = latency[list(bandwidth).index(top)]
    assert len(levels) >= 12 and len(below) >= 11
    check(
        show,
        [
            Figure("median error below 340 GB/s", "%", 0, ours[0], 0, 5),
            Figure("largest error below 340 GB/s", "%", 0, ours[1], 0, 15),
            within("saturated bandwidth", "GB/s", top, full.gbps, 5),
            Figure("latency there", "ns", at_top, full.latency_ns, 220, 290),
        ],
    )


def test_latency_rises_with_bandwidth(levels: list[Level]) -> None:
    by_bandwidth = [level.latency_ns for level in sorted(levels, key=lambda level: level.gbps)]
    assert by_bandwidth == sorted(by_bandwidth)


@pytest.mark.parametrize("buffer", ["8MiB", "64MiB"])
def test_saturated_bandwidth_does_not_hang_on_a_layout(buffer: str, show: Callable[[str], None]) -> None:
    """Other frames, other phases of the generators, other buffers: no stream may fall into few channels or banks."""
    top = published("peak_bandwidth.csv", reads=1, writes=0, sockets=2)
    check(
        show,
        [
            within(f"saturated, buffers of {buffer}, seed {seed}", "GB/s", top, level.gbps, 5)
            for seed in (1, 2, 3, 4)
            for level in [loaded(0, 2500, seed=seed, buffer=buffer)]
        ],
    )


def said(error: tuple[float, float]) -> str:
    return f"{error[0]:.1f} %, {error[1]:.1f} %"


def md1_fitted(bandwidth: Floats, latency: Floats) -> Callable[[float], float]:
    """Latency by bandwidth: idle + scale x wait in an M/D/1 queue of some capacity, fitted below the knee.

    To relative errors, by least squares: of two constants at once, for each of many capacities.
    """
    keep = bandwidth < KNEE_GBPS
    gbps, measured = bandwidth[keep], latency[keep]

    def fitted(capacity: float) -> tuple[float, float, float, float]:
        waits = np.array([md1_wait(x / capacity, 1.0) for x in gbps])
        (idle, scale), left, *_ = np.linalg.lstsq(np.stack([1 / measured, waits / measured], 1), np.ones(len(gbps)))
        return float(left[0]), float(idle), float(scale), capacity

    _, idle, scale, capacity = min(fitted(capacity) for capacity in np.linspace(KNEE_GBPS + 2, 1000, 1000))
    return lambda x: idle + scale * md1_wait(x / capacity, 1.0)


@pytest.mark.parametrize(("reads", "writes"), [(2, 1), (1, 1)])
def test_peak_bandwidth_with_writes(reads: int, writes: int, show: Callable[[str], None]) -> None:
    """Each core's lap of 4 MiB before it counts fills its caches' shares, so that as much is written back as stored."""
    gbps = stream_gbps(
        threads=72, cpunodebind="all", size="4MiB", warmup=1, accesses=1_500_000, ratio=f"{reads}:{writes}"
    )
    expected = published("peak_bandwidth.csv", reads=reads, writes=writes)
    check(show, [within(f"reads:writes {reads}:{writes}", "GB/s", expected, gbps, 10)])


def test_core_to_core_latency(show: Callable[[str], None]) -> None:
    across = {"physcpubind": "0,36"}  # the writer in socket 0, the reader in socket 1
    expected = [
        published("c2c_latency.csv", kind=f"remote_HITM_homed_in_{home}", writer_node=0)
        for home in ("writer", "reader")
    ]
    hit, hitm = (published("c2c_latency.csv", kind=f"local_L2_to_L2_{state}") for state in ("HIT", "HITM"))
    check(
        show,
        [
            within("HIT in a socket", "ns", hit, core_to_core("hit"), 10),
            within("HITM in a socket", "ns", hitm, core_to_core("hitm"), 10),
            within("HITM, homed in the writer", "ns", expected[0], core_to_core("hitm", home="writer", **across), 10),
            within("HITM, homed in the reader", "ns", expected[1], core_to_core("hitm", home="reader", **across), 10),
        ],
    )


def test_ping_pong(show: Callable[[str], None]) -> None:
    measured = [core_pairs("same_socket"), core_pairs("cross_socket")]
    inside, across = (statistics.median(handover(*pair) for pair in pairs) for pairs in (SAME_SOCKET, TWO_SOCKETS))
    check(
        show,
        [
            within("one way in a socket", "ns", measured[0], inside, 10),
            within("one way across", "ns", measured[1], across, 10),
        ],
    )


def core_pairs(kind: str) -> float:
    """Published median over all pairs of cores, in ns."""
    rows = [line.split(",") for line in (HOST / "core_to_core.csv").read_text().splitlines()]
    (row,) = [row for row in rows if row[:2] == [kind, "first hardware threads"]]
    return float(row[rows[0].index("median_ns")])


def test_fewer_constants_are_fitted_than_figures_they_are_fitted_to(show: Callable[[str], None]) -> None:
    model: Machine = machine()
    aims = {figure for figures in FITTED_TO.values() for figure in figures}
    show(
        f"\n  {len(model.fitted())} fitted constants ({', '.join(model.fitted())}), fitted to {len(aims)} figures; "
        f"{len(FIGURES)} figures in all"
    )
    assert set(model.fitted()) == set(FITTED_TO)
    assert aims < set(FIGURES)
    assert len(model.fitted()) < len(aims) < len(FIGURES)
