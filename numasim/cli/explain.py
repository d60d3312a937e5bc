"""numasim explain: one access told step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from numasim.cli import options
from numasim.cli.run import MODEL, WORKLOAD, given, of_scenario, of_workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from numasim.study.explain import Explanation

_ACCESS = "Which: slowest, or a number: the so many-th access that counts (after warm-up) of the group's first thread."


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL|SCENARIO.toml", help=MODEL)],
    rest: Annotated[list[str] | None, typer.Argument(metavar="WORKLOAD KEY=VALUE", help=WORKLOAD)] = None,
    access: Annotated[str, typer.Option(metavar="N|slowest", help=_ACCESS)] = "slowest",
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Of these threads (default: the first).")] = None,
    cpunodebind: options.Cpunodebind = None,
    physcpubind: options.Physcpubind = None,
    membind: options.Membind = None,
    interleave: options.Interleave = None,
    weighted_interleave: options.WeightedInterleave = None,
    preferred: options.Preferred = None,
    localalloc: options.Localalloc = False,
    pages: options.Pages = None,
    page_tables: options.PageTables = None,
    change: options.Changes = None,
    seed: options.Seed = None,
    json: options.Json = False,
) -> int:
    """Tell one memory access step by step: TLBs, caches, hops, queues, bank and row, each with its time.

    Example: numasim explain icx-8360y-2s list length=1000000 order=shuffled -N 0 -m 1
    """
    from numasim.cli.progress import progress
    from numasim.cli.words import given as some
    from numasim.cli.words import pairs
    from numasim.results.figures import console
    from numasim.results.json import text_of

    some(access, "--access", "slowest or a number")
    which = {"access": access, "group": "" if group is None else some(group, "--group", "a group's name")}
    changes = pairs(change or (), "--set")
    placement = given(
        cpunodebind=cpunodebind,
        physcpubind=physcpubind,
        membind=membind,
        interleave=interleave,
        weighted_interleave=weighted_interleave,
        preferred=preferred,
        localalloc=localalloc or None,
        pages=pages,
        page_tables=page_tables,
    )
    with progress() as report:
        found = _explained(model, rest or (), changes, given(seed=seed), placement, which, report)
    if json:
        print(text_of(as_dict(found)), end="")
    else:
        show(found, console())
    return 0


def _explained(
    model: str, rest: Any, changes: Any, general: Any, placement: Any, which: dict[str, str], report: Any
) -> Explanation:
    from numasim.study.explain import explain_scenario

    if rest:
        scenario = of_workload(model, rest, changes, general | placement, "explain")
    else:
        scenario = of_scenario(model, changes, general, placement, "explain")
    return explain_scenario(scenario, **which, progress=report)


def as_dict(found: Explanation) -> dict[str, Any]:
    """The object `--json` prints."""
    return found._asdict() | {"steps": [step._asdict() for step in found.steps]}


def _sentences(found: Explanation) -> Iterator[str]:
    """Which access it is."""
    from numasim.results.figures import count, ns

    yield f"Access {count(found.access)} of thread {found.thread} ({found.group}, CPU {found.cpu}):"
    article = "an" if found.kind[0] in "au" else "a"
    yield f"{article} {found.kind} at {found.site!r}, region {found.region!r} + {found.offset:#x},"
    yield f"a {found.page} page of node {found.node}."
    before = "before" if found.back == 1 else f"{found.back} records before"
    needed = f", when the access {before} had its value" if found.back else ""
    yield f"Its address was known {ns(found.begins_ns)} ns after counting began{needed}."
    yield f"It took {ns(found.latency_ns)} ns. (Accesses are counted from 0, after warm-up.)"


def show(found: Explanation, out: Console) -> None:
    """Print it: what the access is, its steps, and the causes they add up to."""
    from rich.text import Text

    from numasim.results.figures import ns, put, table

    out.print(Text(found.title, style="bold"))
    out.print(Text(" ".join(_sentences(found))))
    out.print()
    steps = table("Step by step", "at ns", "+ns", last="cause")
    steps.add_column("what happened", overflow="fold")
    steps.columns[0].justify = "right"
    for step in found.steps:
        steps.add_row(f"{step.at_ns:.1f}", f"{step.ns:.1f}" if step.cause else "", step.cause, step.what)
    steps.add_row(f"{found.latency_ns:.1f}", "", "", "done")
    put(steps, out)
    out.print()
    causes = ", ".join(f"{cause} {ns(value)}" for cause, value in sorted(found.stack_ns.items(), key=lambda c: -c[1]))
    out.print(Text(f"By cause, in ns: {causes}."))
