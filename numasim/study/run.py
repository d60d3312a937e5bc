"""Run a scenario: laid out, simulated, the result named."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numasim
from numasim.errors import told_in
from numasim.machine import Machine, load
from numasim.results import host
from numasim.results.result import Result
from numasim.study.prepare import Part, prepare, title
from numasim.study.scenario import Scenario, single

if TYPE_CHECKING:
    from numasim.engine.running import Running

Report = Callable[[str, float], None]


def run(
    machine: Machine | str, workload: str, progress: Report | None = None, timeline: bool = False, **words: Any
) -> Result:
    """Simulate one workload on a machine.

    machine: a machine, or a name or file. words: keys of the workload (length="1e6"), the keys all have (threads,
    accesses, laps, warmup, arrivals), and options as on the command line: cpunodebind, physcpubind, membind, preferred,
    interleave, weighted_interleave, localalloc, pages, page_tables, seed, scheduler. progress(what, share done).
    timeline: keep when operations began and ended (Result.timeline). Raises UserError.
    """
    whole = load(machine) if isinstance(machine, str) else machine
    return run_scenario(single(whole, workload, words), progress, timeline)


def run_scenario(scenario: Scenario, progress: Report | None = None, timeline: bool = False) -> Result:
    """Simulate a scenario. progress(what, share done; below 0: unknown) is called now and then. timeline: as `run`.
    Raises UserError."""
    with told_in(scenario.file):
        return _run(scenario, progress or (lambda what, done: None), timeline)


def _run(scenario: Scenario, tell: Report, timeline: bool) -> Result:
    from numasim.engine.jit import is_compiled
    from numasim.engine.simulate import loop_of, simulate

    tell("laying out memory", -1.0)
    made = prepare(scenario)
    first = scenario.scheduler == "compiled" and not is_compiled(loop_of(scenario.machine))
    tell("compiling the engine for this host, once" if first else "simulating", -1.0)
    narrate = narrator(tell)
    raw = simulate(scenario.machine, made.pagemap, made.threads, made.groups, scenario.scheduler, narrate, timeline)
    regions = [region.name for region in made.pagemap.regions]
    return Result(raw, made.sites, regions, _provenance(scenario, made.parts, raw))


def narrator(tell: Report) -> Callable[[Running], None]:
    """Tells how far a simulation is in words: accesses done, their rate since it was first called, percentiles."""
    from numasim.results.figures import count, ns, rate

    first: list[tuple[float, int]] = []  # when it was first called, and the accesses then

    def progress(running: Running) -> None:
        now = time.perf_counter()
        text = f"{count(running.accesses)} accesses"
        if first:
            seconds, accesses = now - first[0][0], running.accesses - first[0][1]
            text += f", {rate(accesses / max(seconds, 1e-9))}/s"
        else:
            first.append((now, running.accesses))
        if not math.isnan(running.p50_ns):
            text += f", p50 {ns(running.p50_ns)} ns, p99 {ns(running.p99_ns)} ns"
        tell(text, running.done)

    return progress


def _provenance(scenario: Scenario, parts: list[Part], raw: Any) -> dict[str, Any]:
    """Version, everything that was asked for, seed, host; a title and notes for people."""
    notes = [note for part in parts for note in part.notes]
    loads = int(raw.counters[:, raw.event_names.index("LLC-loads")].sum())
    if loads:
        misses = int(raw.counters[:, raw.event_names.index("LLC-load-misses")].sum())
        notes.append(f"L3 hit share {100 * (loads - misses) / loads:.1f} % of {loads:,} look-ups")
    return {
        "version": numasim.__version__,
        "configuration": scenario.expanded(),
        "seed": scenario.seed,
        "host": host.description(),
        "title": title(scenario, parts),
        "notes": notes,
    }
