"""One access told step by step: which one, where its time went, and what happened meanwhile."""

from typing import Any, NamedTuple

from numasim.engine.output import ACCESS_CAUSES
from numasim.errors import UserError, told_in
from numasim.machine import Machine, load
from numasim.sizes import parse_count
from numasim.study.prepare import Prepared, prepare, title
from numasim.study.run import Report, narrator
from numasim.study.scenario import Scenario, single
from numasim.traces.records import KINDS

SLOWEST = "slowest"


class Step(NamedTuple):
    """A part of an access's time. cause: "" for what took none."""

    at_ns: float  # since the access began
    ns: float
    cause: str
    what: str


class Explanation(NamedTuple):
    """An access and its steps, whose times add up to its latency, and cause by cause to its stack.

    access: its number among the thread's accesses that count, from 0. thread: its number in the run. begins_ns: when
    its address was known, since counting began. back: how many records before it the load is that its address waited
    for, 0 if for none. offset: of its address in its region. node: where its page lies.
    """

    access: int
    thread: int
    cpu: int
    group: str
    site: str
    region: str
    offset: int
    page: str
    node: int
    kind: str
    begins_ns: float
    back: int
    latency_ns: float
    steps: list[Step]
    stack_ns: dict[str, float]
    title: str


def explain(
    machine: Machine | str,
    workload: str,
    access: str | int = SLOWEST,
    group: str = "",
    progress: Report | None = None,
    **words: Any,
) -> Explanation:
    """Tell one access of `run(machine, workload, **words)` step by step. See explain_scenario."""
    whole = load(machine) if isinstance(machine, str) else machine
    return explain_scenario(single(whole, workload, words), access, group, progress)


def explain_scenario(
    scenario: Scenario, access: str | int = SLOWEST, group: str = "", progress: Report | None = None
) -> Explanation:
    """Tell one access of a scenario step by step.

    access: "slowest" of the group, or the number of an access of the group's first thread: of those that count, so
    after warm-up, from 0. group: its name; "": the first. progress: as for run_scenario. Raises UserError.
    """
    tell = progress or (lambda what, done: None)
    with told_in(scenario.file):
        tell("laying out memory", -1.0)
        made = prepare(scenario)
        thread = _first_thread(made, group)
        record, number = -1, -1
        if access == SLOWEST:
            tell("looking for the slowest access", -1.0)
            record, thread = _slowest(scenario, made, thread, tell)
            made = prepare(scenario)  # arrivals are drawn as they are needed
        else:
            number = parse_count(str(access), "--access")
        tell("simulating up to the access", -1.0)
        return _told(scenario, made, thread, record, max(number, 0) if record < 0 else -1)


def _first_thread(made: Prepared, group: str) -> int:
    """Number of the first thread of a group that ends by itself if one does. Raises UserError for an unknown group."""
    if group and group not in made.groups:
        raise UserError(f"no group {group!r}", "--group", " or ".join(made.groups))
    wanted = made.groups.index(group) if group else made.threads[0].group
    return next(k for k, thread in enumerate(made.threads) if thread.group == wanted)


def _slowest(scenario: Scenario, made: Prepared, thread: int, tell: Report) -> tuple[int, int]:
    """(record, thread) of the slowest access of the thread's group; (-1, thread) if all are plain L1 hits, which are
    only counted."""
    from numasim.engine.simulate import Run

    group = made.threads[thread].group
    run = Run(scenario.machine, made.pagemap, made.threads, made.groups)
    if not run.compiled(narrator(tell)):
        raise KeyboardInterrupt
    raw = run.result(1.0)
    own = [k for k, (owner, _, _) in enumerate(raw.classes) if owner == group and raw.access_rows[k].any()]
    if not own:
        raise UserError("nothing was counted", "--access", "a workload with memory accesses")
    slowest = max(own, key=lambda k: int(raw.access_max_ps[k]))
    found = int(run.m.out.slowest[slowest])
    return (-1, thread) if found < 0 else (found >> 14, found & (1 << 14) - 1)


def _told(scenario: Scenario, made: Prepared, thread: int, record: int, access: int) -> Explanation:
    from numasim.study.story import Story
    from numasim.study.watch import Watched

    machine, pagemap = scenario.machine, made.pagemap
    run = Watched(machine, pagemap, made.threads, made.groups, thread=thread, record=record, access=access)
    story = Story(thread, list(machine.topology.vertices))
    run.watch(story)
    group, site, region = run.classes.keys[story.klass]
    block = int(pagemap.block[story.address >> 21])
    steps, at = [], 0
    for step in story.steps:
        steps.append(Step(at / 1000, step.ps / 1000, ACCESS_CAUSES[step.cause] if step.cause >= 0 else "", step.what))
        at += step.ps
    sites = made.sites[group]
    where = pagemap.regions[region]
    return Explanation(
        access=run.access,
        thread=thread,
        cpu=made.threads[thread].cpu,
        group=made.groups[group],
        site=sites[site] if site < len(sites) else f"site {site}",
        region=where.name,
        offset=story.address - where.base,
        page=("4 KiB", "2 MiB", "1 GiB")[block & 3],
        node=_node(pagemap, story.address),
        kind=KINDS[story.kind],
        begins_ns=story.known_ps / 1000,
        back=story.back,
        latency_ns=at / 1000,
        steps=steps,
        stack_ns={ACCESS_CAUSES[cause]: ps / 1000 for cause, ps in sorted(story.stack.items()) if ps},
        title=title(scenario, made.parts),
    )


def _node(pagemap: Any, address: int) -> int:
    """The node of the memory an address lies in."""
    from numasim.engine.tlb import physical

    return int(physical(pagemap, address) >> pagemap.node_shift)
