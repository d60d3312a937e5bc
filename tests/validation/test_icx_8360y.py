"""Does the model of the 2 x Xeon Platinum 8360Y give what was measured on this very machine? (pytest -s prints it all.)

The measurements are Intel MLC's, likwid-bench's and a core-to-core test's, with their sources in
calibration/hosts/icx-8360y-2s. Every row prints expected, simulated, deviation and band, and asserts the band.
"""

import numpy as np
import pytest

from numasim.study.run import run
from validation import figures


def check(what: str, expected: float, simulated: float, band: float) -> None:
    deviation = simulated / expected - 1
    found = f"expected {expected:7.1f}  simulated {simulated:7.1f}  {100 * deviation:+5.1f} %"
    print(f"{what:44s} {found}  band {100 * band:.0f} %")
    assert abs(deviation) <= band, what


@pytest.mark.parametrize(("memory", "expected"), [(0, 89.2), (1, 142.7)])
def test_idle_latency(memory: int, expected: float) -> None:
    result = run(
        figures.model(), "chase", size="512MiB", pages="2m", accesses=60_000, warmup=0, cpunodebind=0, membind=memory
    )
    print(*[note for note in result.provenance["notes"] if "L3 hit share" in note])
    check(f"idle chase node 0 -> {memory}, ns", expected, figures.idle(memory), 0.03)


@pytest.mark.parametrize(("size", "cycles"), [("16KiB", 5), ("512KiB", 14)])
def test_private_caches(size: str, cycles: int) -> None:
    machine = figures.model()
    mean = run(machine, "chase", size=size, pages="2m", accesses=100_000).access.mean_ns
    check(f"chase of {size}, cycles", cycles, mean * machine.core.frequency_ghz, 0.05)


def test_l3() -> None:
    mean = run(figures.model(), "chase", size="16MiB", pages="2m", accesses=300_000).access.mean_ns
    print(f"chase of 16 MiB: {mean:.1f} ns, expected 22 +- 3 (assumed in the model)")
    assert abs(mean - 22) <= 3


@pytest.mark.parametrize(("memory", "expected"), [(0, 175.7), (1, 55.7)])
def test_read_bandwidth(memory: int, expected: float) -> None:
    check(f"36 cores of node 0 read node {memory}, GB/s", expected, figures.bandwidth(memory), 0.05)


def test_one_core() -> None:
    check("one core alone reads at 2.4 GHz, GB/s", 15.4, figures.one_core(), 0.15)


def test_loaded_latency() -> None:
    bandwidth, latency = figures.published_curve()
    points = [figures.loaded(delay) for delay in figures.DELAYS]
    below = [(b, ns) for b, ns in points if b < 340]
    at = np.array([b for b, _ in below])
    expected = np.interp(at, bandwidth, latency)
    errors = np.abs(np.array([ns for _, ns in below]) / expected - 1)
    queue = at / 409.6  # M/D/1 with three constants, fitted to the published curve: idle, slope, capacity
    best = min(
        ((float(np.max(np.abs(md1(bandwidth, a, c, k) / latency - 1))), a, c, k)
         for a in (88, 90, 92, 94) for c in (355, 360, 370, 380, 400) for k in (2, 4, 6, 8, 12)),
    )  # fmt: skip
    fixed, md1_errors = np.abs(96 / expected - 1), np.abs(md1(at, *best[1:]) / expected - 1)
    for (b, ns), e, u in zip(below, expected, queue, strict=True):
        ours = f"simulated {ns:6.1f}  {100 * (ns / e - 1):+5.1f} %"
        print(f"loaded {b:6.1f} GB/s ({100 * u:3.0f} %)  published {e:6.1f}  {ours}")
    for name, found in (("simulated", errors), ("constant 96 ns", fixed), ("M/D/1 of three constants", md1_errors)):
        print(f"{name:26s} median {100 * np.median(found):4.1f} %  worst {100 * found.max():4.1f} %")
    assert len(below) >= 10
    assert np.median(errors) <= 0.05
    assert errors.max() <= 0.15


def md1(bandwidth: np.ndarray, idle: float, capacity: float, service: float) -> np.ndarray:
    """Idle latency and the mean wait of an M/D/1 queue at this share of its capacity."""
    rho = np.minimum(bandwidth / capacity, 0.999)
    return idle + service * rho / (2 * (1 - rho))


def test_saturation() -> None:
    bandwidth, latency = figures.loaded(0, accesses=6_000)
    check("both sockets saturated, GB/s", 351.8, bandwidth, 0.05)
    print(f"latency there {latency:.1f} ns, expected 220 to 290")
    assert 220 <= latency <= 290


@pytest.mark.parametrize(("ratio", "expected"), [("2:1", 297.2), ("1:1", 291.8)])
def test_reads_and_writes(ratio: str, expected: float) -> None:
    check(f"peak of both sockets, reads:writes {ratio}, GB/s", expected, figures.loaded(0, ratio, 8_000)[0], 0.10)


@pytest.mark.parametrize(
    ("state", "home", "cpus", "expected"),
    [
        ("hit", "reader", "0,1", 60.1),
        ("hitm", "reader", "0,1", 64.2),
        ("hitm", "writer", "0,36", 127.1),
        ("hitm", "reader", "0,36", 127.2),
    ],
)
def test_core_to_core(state: str, home: str, cpus: str, expected: float) -> None:
    what = f"{state} from CPU {cpus}, homed in {home}, ns"
    check(what, expected, figures.core_to_core(state, home, cpus), 0.10)


@pytest.mark.parametrize(("pairs", "expected"), [(("0,1", "3,20", "7,35"), 49.8), (("0,36", "5,50", "30,71"), 113.1)])
def test_pingpong(pairs: tuple[str, ...], expected: float) -> None:
    check(
        f"compare-and-exchange one way {pairs[0]}, ns",
        expected,
        float(np.median([figures.pingpong(p) for p in pairs])),
        0.10,
    )


def test_there_are_fewer_fitted_constants_than_figures() -> None:
    fitted = figures.model().fitted()
    loaded = sum(figures.published_curve()[0] < 340)
    count = (
        2 + 2 + 1 + loaded + 1 + 2 + 4 + 2
    )  # idle, bandwidth, one core, curve, saturation, mixes, core to core, pingpong
    print(f"{len(fitted)} fitted constants, {count} figures: {', '.join(fitted)}")
    assert len(fitted) < count
