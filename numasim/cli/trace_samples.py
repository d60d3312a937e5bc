"""numasim trace samples: what samples of `perf mem` tell."""

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from numasim.traces.samples import Group, Samples, WhatIf

SHOWN = 20  # sites and regions as text
WIDEST = 60  # characters of a name


def samples(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Output of perf script, plain, .gz or .xz; - for standard input.")
    ],
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            metavar="PLACE=PLACE",
            help='What if the samples of one place took as long as those of another: remote=local, "remote cache=L3"; '
            "repeatable.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Count samples of memory accesses (perf mem record, then perf script -F comm,tid,time,event,addr,data_src,weight,
    ip,sym,dso) by place, function and region. A sample is no trace: it cannot be replayed."""
    from numasim.cli.progress import progress
    from numasim.cli.words import given, pairs
    from numasim.traces.readers import perf_mem
    from numasim.traces.samples import Samples

    moved = pairs(what_if or [], "--what-if")
    file = given(file, "FILE", "a file, or -")
    with progress() as report:
        lines = perf_mem.read(file, progress=lambda n: report(f"{n / 1e6:.1f} million lines", -1))
        found = Samples().add(lines)
    if not found.count:
        from numasim.errors import UserError

        raise UserError("no sample of a memory access", file, perf_mem.EXPECTED)
    changed = found.what_if(moved) if moved else None
    print(_json(found, changed) if json else _text(found, changed))


def _json(found: "Samples", changed: "WhatIf | None") -> str:
    from numasim.results.json import text_of
    from numasim.traces.samples import NOTE

    told = {
        "note": NOTE,
        "samples": found.count,
        "operations": dict(found.operations),
        "places": [group._asdict() for group in found.places()],
        "sites": [group._asdict() for group in found.by_site()],
        "regions": [group._asdict() for group in found.by_region()],
    }
    if changed:
        estimates = ("share", "before", "after", "less")
        told["what_if"] = {"moved": changed.moved} | {name: getattr(changed, name)._asdict() for name in estimates}
    return str(text_of(told))


def _text(found: "Samples", changed: "WhatIf | None") -> str:
    from numasim.traces.samples import NOTE

    told = ", ".join(f"{count:,} {name}" for name, count in found.operations.most_common())
    parts = [f"{found.count:,} samples of memory accesses ({told}). {NOTE}"]
    parts += _table("place", found.places(), with_places=False)
    parts += _table("function", found.by_site())
    parts += _table("region", found.by_region())
    if changed:
        moves = ", ".join(f"{here} as {there}" for here, there in changed.moved.items())
        before, after, share, less = changed.before, changed.after, changed.share, changed.less
        parts += [
            "",
            f"What if {moves}: {100 * share.value:.1f} % of the samples "
            f"({100 * share.low:.1f} to {100 * share.high:.1f}) would take the other's time.",
            f"Mean cycles {before.value:.1f} ({before.low:.1f} to {before.high:.1f}) would be {after.value:.1f} "
            f"({after.low:.1f} to {after.high:.1f}): {100 * less.value:.1f} % less "
            f"({100 * less.low:.1f} to {100 * less.high:.1f}).",
            "In brackets: 95 % of resamplings. Counted are samples with cycles; what other accesses would gain is not.",
        ]
    return "\n".join(parts)


def _table(title: str, groups: "list[Group]", with_places: bool = True) -> list[str]:
    """A table of the groups with most samples; none if there is no group."""
    if not groups:
        return []
    shown = groups[:SHOWN]
    names = [group.name if len(group.name) <= WIDEST else group.name[: WIDEST - 3] + "..." for group in shown]
    width = max(len(title), *map(len, names))
    lines = ["", f"{title:<{width}}  samples  share %  mean cycles" + ("  served from" if with_places else "")]
    for name, group in zip(names, shown, strict=True):
        mean = f"{group.mean:.1f}" if group.mean is not None else "-"
        places = sorted(group.places.items(), key=lambda item: -item[1])
        where = "  " + ", ".join(f"{place} {count}" for place, count in places) if with_places else ""
        lines.append(f"{name:<{width}}  {group.samples:>7}  {100 * group.share:>7.1f}  {mean:>11}{where}")
    if len(groups) > SHOWN:
        lines.append(f"... and {len(groups) - SHOWN} more (--json has all)")
    return lines
