"""The stages of a fit to a measured host: which values are decided by which experiments, in which order.

clock                       core.frequency_ghz
chase within=page           prefetch.region, up_down: off where it is no faster
branch, split               core.mispredict_cycles, split_cycles
chase within L1, L2         l1d.latency_cycles, l2.latency_cycles
tlb                         tlb: second level's latency, entries of the first level
tlb, chase beyond the TLBs  tlb: second level's entries, paging-structure caches; of a guest its walks, guest_run
chase within L2             tlb.host_run, of a guest
chase beyond L2             l3: effective size and policy, lookup_ns, of a guest neighbours_gbps; fabric.controller_ns
c2c, pingpong               fabric.snoop_ns, snoop_dirty_ns, core.atomic_cycles
chains                      core.fill_buffers
stride, chase within pages, bandwidth (1 CPU)   prefetchers, core.prefetch_buffers
access                      trfc_ns, trefi_ns: how long a refresh takes, how often there is one
bandwidth (all CPUs)        memory channels, where cores can fill them
interruptions               os.tick_hz, tick_us
"""

import statistics
from collections.abc import Callable
from itertools import product

from numasim.calibration.host_aims import NOISE, SAME, Aim, of_size, paged_ratio, pick
from numasim.calibration.host_aims import value_of as measured
from numasim.calibration.host_fit import HostFit
from numasim.calibration.host_neighbours import neighbours
from numasim.calibration.host_outer import BEYOND, chases, latencies, outer, secant, solved, some
from numasim.calibration.host_pages import tlb, translation, walks
from numasim.calibration.values import changed, resourced, value_of
from numasim.machine.checks import MAX_OUTSTANDING

PREEMPTED_NS = 100_000.0  # what lasts longer is another program's turn or the hypervisor's, not a timer tick
LEARN_PAGES = ("prefetch.region", "prefetch.up_down")
MOST_FILLS = 48
FILLS = (16, 14, 12, 10, 8, 6, 4, 20, 24, 32, 40, MOST_FILLS)  # of equally good ones the first is taken
AHEAD = (16, 12, 8, 4, 0, 20, 24, 32, 48, 64, 80, 100)  # prefetch buffers
REFRESHES = (100, 115, 130, 145, 160, 175, 190, 205, 220, 235, 250, 265, 280, 295, 320, 350, 380, 410)  # ns


def clock(fit: HostFit) -> None:
    """The clock is what a chain of additions shows."""
    found = [one for one in fit.file.of("clock") if measured(one, "core_ghz")]
    if found:
        told = measured(found[0], "core_ghz")
        assert told is not None
        values = [value for value in found[0].samples["core_ghz"].raw if value and value > 0.98 * told[0]]
        spread = statistics.pstdev(values) if len(values) > 1 else 0.01 * told[0]
        aim = Aim(found[0], "core_ghz", told[0], spread)
        fit.direct("core.frequency_ghz", round(told[0], 4), max(spread, 1e-3), 0.1, 10.0, [aim])


def order(fit: HostFit) -> None:
    """Where order within a page makes no difference no prefetcher learns pages: before chases are taken for sums."""
    paged = pick(fit.aims, "chase", lambda keys: keys.get("within") == "page")
    if paged and paged_ratio(fit.file, BEYOND * fit.machine.l3.size_bytes) >= SAME:
        said = "fitted: off, as chases within pages take as long as others"
        machine = changed(fit.machine, dict.fromkeys(LEARN_PAGES, False))
        fit.machine = resourced(machine, dict.fromkeys(LEARN_PAGES, said))


def branch(fit: HostFit) -> None:
    """Half of the random branches are guessed wrong; the rest of the loop is the same."""
    for one in fit.file.of("branch"):
        random, plain = measured(one, "random_ns"), measured(one, "predictable_ns")
        if random and plain and random[0] > plain[0]:
            cycles = 2 * (random[0] - plain[0]) * fit.machine.core.frequency_ghz
            aim = Aim(one, "random_ns", random[0], 0.015 * random[0])
            fit.direct("core.mispredict_cycles", round(cycles), max(0.5, 0.03 * cycles), 0, 1000, [aim])
    for aim in pick(fit.aims, "split", lambda keys: int(keys["size"]) <= fit.machine.l1d.size_bytes):
        aligned = measured(aim.one, "aligned_ns")
        if aligned:
            cycles = max(0.0, (aim.value - aligned[0]) * fit.machine.core.frequency_ghz)
            fit.direct("core.split_cycles", round(cycles), max(0.5, 0.05 * cycles), 0, 1000, [aim])


def inner(fit: HostFit) -> None:
    """L1 and L2 in whole cycles, by chases that fit them; of L2 the smallest, which loses least to other data."""
    l1, l2 = fit.machine.l1d.size_bytes, fit.machine.l2.size_bytes
    for key, low, high, most in (
        ("l1d.latency_cycles", 0, 0.8 * l1, 12),
        ("l2.latency_cycles", 1.9 * l1, 0.8 * l2, 40),
    ):
        chosen = chases(fit, low, high)
        chosen = chosen[-1:] if low == 0 else chosen[:1]
        if chosen:
            near = round(chosen[0].value * fit.machine.core.frequency_ghz)
            around = [{key: cycles} for cycles in range(max(1, near - 3), min(near + 2, most) + 1)]
            fit.search(around, chosen, {key: 0.5}, [key])


def coherence(fit: HostFit) -> None:
    """One core's line to another: clean, modified, and by a locked instruction."""
    same = paged_ratio(fit.file, BEYOND * fit.machine.l3.size_bytes) >= SAME
    transfers = pick(fit.aims, "c2c", lambda k: int(k["node"]) <= 0) if same else []
    pairs = pick(fit.aims, "pingpong", lambda k: int(k["node"]) <= 0)
    if not same and pick(fit.aims, "c2c", lambda k: True):
        fit.notes.append("c2c goes through pages in turn, which this host's prefetchers make faster: left out")
    bounds = {"fabric.snoop_ns": (0.0, 500.0)}
    if any(aim.keys["state"] == "hitm" for aim in transfers) and any(aim.keys["state"] == "hit" for aim in transfers):
        bounds["fabric.snoop_dirty_ns"] = (0.0, 200.0)
    if transfers:
        fit.least_squares(bounds, transfers)
        if pairs:
            _atomic(fit, pairs)
    elif pairs:
        secant(fit, "fabric.snoop_ns", pairs[0])
        fit.least_squares(bounds, pairs)


def _atomic(fit: HostFit, pairs: list[Aim]) -> None:
    """The cycles that a locked instruction adds."""
    key = "core.atomic_cycles"
    off = statistics.median(fit.residual(fit.machine, [aim])[0] * aim.sigma for aim in pairs)
    cycles = value_of(fit.machine, key) - off * fit.machine.core.frequency_ghz
    error = statistics.median(aim.sigma for aim in pairs) * fit.machine.core.frequency_ghz
    fit.direct(key, min(max(round(cycles), 0), 1000), max(1.0, error), 0, 1000, pairs)


def buffers(fit: HostFit) -> None:
    """Misses that overlap: beyond as many chains as there are buffers, a step takes longer."""
    several = pick(fit.aims, "chains", lambda k: int(k["chains"]) >= 4)
    most = max((int(aim.keys["size"]) for aim in several), default=0)
    chosen = [aim for aim in several if int(aim.keys["size"]) == most]
    key = "core.fill_buffers"
    if chosen:
        rest = fit.machine.core.prefetch_buffers
        found = [{key: n, "core.prefetch_buffers": min(rest, MAX_OUTSTANDING - n)} for n in FILLS]
        fit.search(found, chosen, {key: 1.0}, [key])
        best = fit.machine.core.fill_buffers
        near = [n for n in (best + 1, best, best - 1) if 1 <= n <= MOST_FILLS]
        found = [{key: n, "core.prefetch_buffers": min(rest, MAX_OUTSTANDING - n)} for n in near]
        fit.search(found, chosen, {key: 0.5}, [key])
        if best == MOST_FILLS and len(chosen) > 1:
            fit.notes.append(f"{key} ends at {MOST_FILLS}, the most a model has")


def prefetchers(fit: HostFit) -> None:
    """Which ones there are, how far ahead they go, and how many lines they may have on their way."""
    size = max((int(aim.keys["size"]) for aim in pick(fit.aims, "stride", lambda k: True)), default=0)
    chosen = pick(fit.aims, "stride", lambda k: int(k["size"]) == size and int(k["node"]) <= 0)
    chosen = [aim for aim in chosen if aim.keys["pages"] == chosen[0].keys["pages"]]
    one = pick(fit.aims, "bandwidth", lambda k: str(k["cpus"]).isdecimal() and k["ratio"] == "1:0")
    one = [aim for aim in one if int(aim.keys["node"]) <= 0][:1]
    paged = pick(fit.aims, "chase", of_size(1.1 * fit.machine.l1d.size_bytes, 1 << 50, "", "page"))
    if not chosen and not one and not paged:
        return
    key, rest = "core.prefetch_buffers", MAX_OUTSTANDING - fit.machine.core.fill_buffers
    # a random chase tells prefetchers that fetch in vain
    every = chases(fit, 1.1 * fit.machine.l2.size_bytes, 1 << 50)
    random = every[:: max(1, len(every) // 4)]
    flags = [
        {"prefetch.streamer": a, "prefetch.ip_stride": b, "prefetch.next_line": c}
        for a, b, c in product((True, False), repeat=3)
    ]
    beside = [{"prefetch.region": a, "prefetch.up_down": b} for a, b in product((False, True), repeat=2)]
    strides = [  # how far shows where buffers do not limit it; there are so many only until bandwidth says how many
        {"prefetch.ip_stride_distance": far, "prefetch.ip_stride_pages": pages, **({key: rest} if one else {})}
        for far, pages in ((1, False), *product((8, 32, 64, 128, 256), (False, True)))
    ]
    ahead = [
        {"prefetch.streamer_distance": far, "prefetch.streamer_degree": degree}
        for far, degree in product((8, 16, 20, 32, 64), (1, 2, 4))
    ]
    for _ in range(2):  # each of them hangs on the others
        if chosen:
            fit.search(flags, [*chosen, *one, *random], {}, [])
        if paged:  # what they bring of a random chase shortens it as lower latencies do
            solved(fit, beside, [*paged, *some(every)])
        if chosen and fit.machine.prefetch.ip_stride:
            fit.search(strides, [*chosen, *one], {}, [])
        if rest and one:
            fit.search([{key: min(n, rest)} for n in AHEAD], [*chosen[:1], *one], {key: 2.0}, [key])
            best = fit.machine.core.prefetch_buffers
            near = [{key: n} for n in (best + 2, best, best - 2) if 0 <= n <= rest]
            fit.search(near, [*chosen[:1], *one], {key: 1.0}, [key])
            fit.settled[key] = value_of(fit.machine, key) < rest
        if fit.machine.prefetch.streamer:
            fit.search(ahead, [*chosen[:2], *one], {}, [])


def channels(fit: HostFit) -> None:
    """The fewest channels that carry what all CPUs together were measured to move."""
    together = pick(fit.aims, "bandwidth", lambda k: not str(k["cpus"]).isdecimal() and k["ratio"] == "1:0")
    name = near_memory(fit)
    memory = fit.machine.memory[name]
    chosen = [aim for aim in together if int(aim.keys["node"]) <= 0][-1:]
    if memory.kind != "ddr" or not chosen:
        return
    key = f"memory.{name}.channels"
    before = fit.misfit({}, chosen)
    fewest = max(1, int(chosen[0].value / (64 / memory.burst_ns)))
    candidates = [{key: n} for n in sorted({memory.channels, fewest, fewest + 1, 2 * fewest}, reverse=True)]
    found = [fit.misfit(values, chosen) for values in candidates]
    if max(found) - min(found) > 1.0 and min(found) < before + 1.0:
        fit.search(candidates, chosen, {key: 0.5}, [key])
    else:
        fit.notes.append(f"{key}: the cores measured cannot fill them")


def refresh(fit: HostFit) -> None:
    """How often memory refreshes (half as long between, in fine granularity: JESD79-5, 4.13), and how long that takes:
    what the slowest tenth, hundredth and thousandth of single loads have waited. Their mean stays as it is."""
    name = near_memory(fit)
    memory = fit.machine.memory[name]
    if memory.kind != "ddr":
        return
    beyond = BEYOND * fit.machine.l3.size_bytes
    every = [one for one in fit.file.of("access") if int(one.keys["size"]) >= beyond and one.keys["within"] == "all"]
    for one in sorted(every, key=lambda one: str(one.keys["pages"]))[:1]:  # of huge pages, if there are
        tails = [(sample, measured(one, sample)) for sample in ("p90_ns", "p99_ns", "p999_ns")]
        chosen = [Aim(one, sample, told[0], NOISE * told[0]) for sample, told in tails if told]
        long, often, rest = f"memory.{name}.trfc_ns", f"memory.{name}.trefi_ns", "fabric.controller_ns"
        base = value_of(fit.machine, rest) + memory.trfc_ns**2 / (2 * memory.trefi_ns)
        found = [
            {
                long: float(ns),
                often: memory.trefi_ns / share,
                rest: round(max(0.0, base - ns**2 * share / (2 * memory.trefi_ns)), 3),
            }
            for share in (1, 2)
            for ns in REFRESHES
        ]
        fit.search(found, chosen, {long: 10.0, often: memory.trefi_ns / 4}, [long, often])


def near_memory(fit: HostFit) -> str:
    """The memory of the first node."""
    return next((name for name, memory in fit.machine.memory.items() if 0 in memory.nodes), "")


def interruptions(fit: HostFit) -> None:
    """How often and how long a thread is stopped by what is no other program's turn."""
    for one in fit.file.of("interruptions")[:1]:
        length = one.histograms["length"]
        events = [((low + high) / 2 * length.unit_ns, count) for low, high, count in length.buckets]
        short = [(ns, count) for ns, count in events if ns < PREEMPTED_NS]
        number, seconds = sum(count for _, count in short), float(one.keys["ms"]) / 1000 * len(one.rounds)
        if number < 2:
            return
        aim = Aim(one, "per_s", number / seconds, number**0.5 / seconds)
        mean = sum(ns * count for ns, count in short) / number
        spread = sum((ns - mean) ** 2 * count for ns, count in short) ** 0.5 / number
        fit.direct("os.tick_hz", round(aim.value, 2), aim.sigma, 0, 100_000, [aim])
        fit.direct("os.tick_us", round(mean / 1000, 3), max(spread / 1000, 1e-3), 0, 10_000, [aim])


STAGES: tuple[tuple[str, Callable[[HostFit], None]], ...] = (
    ("clock", clock), ("order in pages", order), ("core", branch), ("L1 and L2", inner), ("TLBs", tlb),
    ("page walks, L3 and memory", translation), ("core to core", coherence), ("overlap", buffers),
    ("prefetchers", prefetchers), ("page walks again", walks), ("L3 and memory, with these prefetchers", outer),
    ("neighbours", neighbours), ("latencies", latencies), ("refresh", refresh),
    ("latencies again", latencies), ("channels", channels), ("interruptions", interruptions),
)  # fmt: skip
