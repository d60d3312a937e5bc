"""How the numbers were made: version, seed, host, what was run, and where each value of the machine comes from."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from numasim.machine.sources import KINDS
from numasim.results.figures import count
from numasim.results.page.markup import caption, name, table, tag, wide
from numasim.results.page.traffic import machine_of
from numasim.results.result import Result
from numasim.results.table import cost

MEANING = {
    "specified": "a document or a standard says so",
    "fitted": "chosen so that a measurement comes out",
    "assumed": "not known: general knowledge, or a guess",
    "set": "changed for this run",
    "": "no source is given",
}
MOST_LETTERS = 200_000  # of the scenario's JSON


def section(result: Result) -> list[Element]:
    """What was run by what on what; then the scenario as it was expanded, and the machine's values with sources."""
    origin = result.provenance
    rows = [("numasim", str(origin.get("version", "not known"))), ("seed", str(origin.get("seed", "not known")))]
    host = origin.get("host")
    rows += [(str(key), str(value)) for key, value in host.items()] if isinstance(host, Mapping) else []
    cells = [tag("tr", tag("th", name(key), scope="row"), tag("td", name(text), class_="word")) for key, text in rows]
    made = [tag("p", cost(result)), tag("table", caption("Made by"), tag("tbody", cells), class_="plain")]
    configuration = origin.get("configuration")
    if isinstance(configuration, Mapping):
        rest = {key: value for key, value in configuration.items() if key != "machine"}
        text = json.dumps(rest, indent=2, ensure_ascii=False, default=str)
        more = "\n..." if len(text) > MOST_LETTERS else ""
        listing = tag("pre", text[:MOST_LETTERS] + more, tabindex=0, aria_label="Scenario")
        made.append(tag("details", tag("summary", "The scenario, defaults filled in"), listing))
    return [*made, *_machine(result)]


def _machine(result: Result) -> list[Element]:
    machine = machine_of(result)
    if machine is None:
        return [tag("p", "The machine's values are not in this result, or this version of numasim does not know them.")]
    values = [(key, value, machine.source(key)) for key, value in machine.values().items()]
    kinds = Counter(_kind(source) for *_, source in values)
    there = [kind for kind in (*KINDS, "") if kinds[kind]]
    told = [f"{count(kinds[kind])} {kind or 'without source'} ({MEANING[kind]})" for kind in there]
    summary = f"The machine {machine.title()}: of its {count(len(values))} values {'; '.join(told)}."
    heads = [tag("th", head, scope="col", class_="word") for head in ("key", "value", "known", "source")]
    title = "Every value of the machine"
    found = wide(table(title, heads, [_row(*value) for value in values], class_="values"), title)
    return [tag("p", summary), tag("details", tag("summary", f"{title}, and how it is known"), found)]


def _kind(source: str) -> str:
    word = source.partition(":")[0]
    return word if word in KINDS else ""


def _row(key: str, value: Any, source: str) -> Element:
    kind = _kind(source)
    rest = source.partition(":")[2].strip() if kind else source
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    cells = (name(shown), tag("span", kind or "-", class_=f"kind {kind}"), name(rest))
    return tag("tr", tag("th", name(key), scope="row"), [tag("td", cell, class_="word") for cell in cells])
