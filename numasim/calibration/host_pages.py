"""Address translation: what TLBs hold, what a walk loads, and of a virtual machine how its host translates.

tlb                         tlb: second level's latency, entries of the first level
tlb, chase beyond the TLBs  tlb: second level's entries, paging-structure caches; of a guest its walks, guest_run
chase within L2             host_run, of a guest whose host has small pages behind its huge ones
"""

from numasim.calibration.host_aims import Aim, of_size, pick
from numasim.calibration.host_fit import HostFit, Values
from numasim.calibration.host_outer import outer, solved, some
from numasim.calibration.values import changed

WALKS: list[Values] = [
    {"tlb.walk": "native"},
    {"tlb.walk": "nested", "tlb.host_page": "4k"},
    {"tlb.walk": "nested", "tlb.host_page": "2m"},
]
RUNS = (1, 2, 4, 8, 16, 64, 512)  # pages that a guest has side by side


def _entries(name: str, entries: int) -> Values:
    """Entries of a TLB with as many ways as make a power of two of sets: 32 at most, 4 at least where it can be."""
    ways = entries
    while ways > 32 or (ways % 2 == 0 and ways > 16 and entries > 256):
        ways //= 2
    return {f"tlb.{name}_entries": entries, f"tlb.{name}_ways": ways}


def tlb(fit: HostFit) -> None:
    """The first level, whose reach a line of each page shows, and what the second one takes."""
    small = some(pick(fit.aims, "tlb", lambda k: k["pages"] == "4k" and int(k["count"]) <= 1024))
    if small:
        latency = "tlb.l2_latency_cycles"
        firsts = [_entries("l1_4k", n) for n in (16, 32, 48, 64, 72, 80, 96, 128)]
        for _ in range(2):
            fit.search(firsts, small, {"tlb.l1_4k_entries": 8.0}, ["tlb.l1_4k_entries"])
            fit.search([{latency: cycles} for cycles in range(3, 16)], small, {latency: 0.5}, [latency])
    huge = some(pick(fit.aims, "tlb", lambda k: k["pages"] == "2m" and int(k["count"]) <= 1024))
    if huge:
        firsts = [_entries("l1_2m", n) for n in (8, 16, 32, 48, 64, 72, 96, 128)]
        fit.search(firsts, huge, {"tlb.l1_2m_entries": 8.0}, ["tlb.l1_2m_entries"])


def translation(fit: HostFit) -> None:
    """Page walks, and what lies beyond L2, which hang on each other: by each kind of walk there may be, the best.

    A virtual machine's may be native, or nested over small or large pages of its host.
    """
    if not fit.file.host.get("virtual", {}).get("is"):
        walks(fit)
        outer(fit)
        return
    judging = pick(fit.aims, "chase", of_size(1.1 * fit.machine.l1d.size_bytes, 1 << 50))
    judging += pick(fit.aims, "tlb", lambda k: k["pages"] == "4k" and int(k["count"]) > 1024)
    found = []
    for kind in WALKS:
        tried = fit.copy()
        tried.machine = changed(tried.machine, kind)
        walks(tried)
        outer(tried)
        found.append((tried.misfit({}, judging), tried))
    costs = [cost for cost, _ in found]
    fit.restore(found[costs.index(min(costs))][1])
    best = WALKS[costs.index(min(costs))]
    fit.kinds |= dict.fromkeys(best, judging)
    told = ", ".join(f"{_kind(kind)} {cost:.1f}" for kind, cost in zip(WALKS, costs, strict=True))
    fit.notes.append(f"page walks: {_kind(best)} fit best (misfit of {told})")


def walks(fit: HostFit) -> None:
    """How many pages the second level holds, which levels of the page table a walk loads and, where walks are nested,
    how many pages a guest has side by side: one line a page of many pages, and chases in small and huge pages.

    The latencies of L3 and memory are what suits each candidate best; they are decided afterwards (`outer`).
    """
    small, far = _walked(fit)
    chosen = [*small, *far]
    if not chosen:
        runs(fit)
        return
    tried: list[tuple[str, list[Values], float]] = []
    if small:
        tried.append(("tlb.l2_entries", [_entries("l2", n) for n in (512, 1024, 1536, 2048, 3072, 4096)], 256.0))
    tried.append(("tlb.pde_entries", [{"tlb.pde_entries": n} for n in (1, 2, 4, 8, 16, 32)], 2.0))
    for key, found, error in tried:
        runs(fit)
        fit.take(found, solved(fit, found, chosen), chosen, {key: error}, [key])


def runs(fit: HostFit) -> None:
    """How many small pages a guest has side by side, and its host behind a huge one, where walks are nested."""
    if fit.machine.tlb.walk != "nested":
        return
    small, far = _walked(fit)
    chosen = [*small, *far]
    if chosen:
        key, found = "tlb.guest_run", [{"tlb.guest_run": n} for n in RUNS]
        fit.take(found, solved(fit, found, chosen), chosen, {key: 1.0}, [key])
    within = _within(fit)
    if within and fit.machine.tlb.host_page == "4k":
        fit.search([{"tlb.host_run": n} for n in (1, 512)], within, {}, [])


def _walked(fit: HostFit) -> tuple[list[Aim], list[Aim]]:
    """Runs that tell of page walks: a line a page, and chases; each empty where a file has too few."""
    least = fit.machine.tlb.l2_entries // 2
    small = pick(fit.aims, "tlb", lambda k: k["pages"] == "4k" and int(k["count"]) >= least)
    if not small or max(int(aim.keys["count"]) for aim in small) <= 2 * fit.machine.tlb.l2_entries:
        small = []
    reach = 2 * 4096 * fit.machine.tlb.l2_entries
    far = pick(fit.aims, "chase", of_size(reach, 1 << 50, "4k"))[-2:]
    huge = pick(fit.aims, "chase", of_size(reach, 1 << 50, "2m"))[-2:]
    return some(small), [*far, *huge, *_within(fit)] if far and huge else []


def _within(fit: HostFit) -> list[Aim]:
    """Chases in huge pages that L2 holds all of where they fill its sets evenly."""
    return pick(fit.aims, "chase", of_size(0.5 * fit.machine.l2.size_bytes, fit.machine.l2.size_bytes, "2m"))


def _kind(kind: Values) -> str:
    """A way to walk, in words."""
    page = kind.get("tlb.host_page")
    return f"nested walks over pages of {page} of the host" if page else "native walks"
