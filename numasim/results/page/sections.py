"""What stands on the page, from the answer down to how it was made."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from numasim.results.figures import MEANING
from numasim.results.page import charts, listing, numbers, origin, places, timelines, traffic
from numasim.results.page.answer import counted, sentences
from numasim.results.page.charts import Chart
from numasim.results.page.markup import headings, name, table, tag, wide
from numasim.results.result import Result

MOST_SENTENCES = 6
OVER_TIME = {"links": "Links", "memories": "Memory, mean of a node's channels", "channels": "Channels"}
STEPS = ("to 10 %", "to 30 %", "to 60 %", "to 85 %", "more")  # of traffic.step, from 1

HOW_LONG = "Latency against the share that is faster. Each step upwards is ten times as rare: the tail has its room."
WHY = "What the time is made of: of all, and of the slowest. Hatched is waiting: for links, memory, buffers, locks."
NO_MAP = "The machine's plan is not in this result, so its traffic is a table only."
NO_SERIES = "Nothing to show: this result holds no series over time, or no link and no channel was busy in it."


def charts_of(result: Result) -> tuple[dict[str, Chart], dict[str, Chart]]:
    """(charts by where they stand; stacks of causes by whose they are, of which one is shown at a time)."""
    drawn = {
        "latencies": charts.latencies(result),
        "links": timelines.links(result),
        "memories": timelines.memories(result),
        "channels": timelines.channels(result),
    }
    return {key: chart for key, chart in drawn.items() if chart}, charts.stacks(result)


def head(result: Result) -> Element:
    """What was run, the answer in a sentence, and how much it rests on."""
    told = list(sentences(result))
    made = tag("header", tag("p", name(str(result.provenance.get("title") or "numasim result")), class_="what"))
    if result.partial:
        made.append(tag("p", "Stopped before its end: this is the part that was simulated.", class_="warning"))
    if told:
        group = tag("span", name(told[0][0]), ": ", class_="group") if len(told) > 1 else None
        made.append(tag("h1", group, told[0][1]))
    else:
        made.append(tag("h1", "Nothing was counted."))
    if len(told) > 1:
        made.append(tag("ul", (tag("li", tag("b", name(group)), ": ", text) for group, text in told[1:MOST_SENTENCES])))
    if len(told) > MOST_SENTENCES:
        made.append(tag("p", f"{len(told) - MOST_SENTENCES} more groups are in the tables below."))
    notes = "".join(f" · {note}" for note in result.provenance.get("notes", ()))
    made.append(tag("p", name(counted(result) + notes), class_="note"))
    return made


def sections(result: Result, drawn: dict[str, Chart], stacks: dict[str, Chart]) -> Iterator[Element]:
    """All below the head."""
    first, *rest = numbers.tables(result)
    if "latencies" in drawn:
        more = len(result.groups) - charts.MOST_LINES
        words = f" The first {charts.MOST_LINES} groups; {more} more are in the table." if more > 0 else ""
        chart = _chart("latencies", "Latency distribution, also in the table Latency")
        yield _section("How long it takes", tag("p", HOW_LONG + words), chart, first)
    if stacks:
        chart = _chart("stacks", "Causes of latency by percentile, also in the table below")
        less = f" The first {len(stacks)}; the others are in the JSON." if len(stacks) >= charts.MOST_STACKS else ""
        yield _section("Why", tag("p", WHY + less), _choice(stacks), chart, _legend(stacks), _as_tables(stacks))
    yield _section("Where the traffic is", *_traffic(result))
    yield _section("Over time", *_over_time(result, drawn))
    yield from _places(result)
    yield _section("Numbers", tag("div", rest, class_="numbers"))
    yield _section("How this was made", *origin.section(result))


def _choice(stacks: dict[str, Chart]) -> Element | None:
    options = (tag("option", key, value=key) for key in stacks)
    choice = tag("select", options, id="stack-of", autocomplete="off")
    return tag("p", tag("label", "Of ", choice, for_="stack-of"), class_="choice") if len(stacks) > 1 else None


def _legend(stacks: dict[str, Chart]) -> Element:
    """Each cause with its colour, its hatching and what it is."""
    entries = []
    for cause in charts.causes(stacks):
        hatching = {"": None, ".": "dots"}.get(charts.HATCHED.get(cause, ""), "lines")
        swatch = tag("i", style=f"background-color:var(--{cause})", class_=hatching)
        meaning = tag("span", MEANING.get(cause, "all smaller ones together"))
        entries.append(tag("li", swatch, tag("b", cause), " ", meaning))
    return tag("ul", entries, class_="legend")


def _as_tables(stacks: dict[str, Chart]) -> Element:
    """The bars as numbers: of each that can be chosen."""
    made = tag("details", tag("summary", "The same as a table"))
    for number, (key, chart) in enumerate(stacks.items()):
        bars = chart["data"]
        means = [label["text"] for label in chart["layout"]["annotations"]]
        rows = []
        for row, word in enumerate(chart["layout"]["yaxis"]["ticktext"]):
            cells = (tag("td", bar["customdata"][row][2]) for bar in bars)
            rows.append(tag("tr", tag("th", word, scope="row"), tag("td", means[row]), cells))
        found = table(f"Share of time by cause: {key}", headings("", "mean", *(bar["name"] for bar in bars)), rows)
        made.append(wide(found, key, id=f"stack-table-{number}"))
    return made


def _traffic(result: Result) -> Iterator[Element]:
    plan = traffic.picture(result)
    if plan is None:
        yield tag("p", NO_MAP)
    else:
        keys = (tag("span", tag("i", class_=f"heat{step}"), text) for step, text in enumerate(STEPS, 1))
        yield tag("figure", plan, tag("figcaption", "Busy: ", keys, class_="keys"))
    yield traffic.table_of(result)


def _over_time(result: Result, drawn: dict[str, Chart]) -> Iterator[Element]:
    there = [key for key in OVER_TIME if key in drawn]
    for key in there:
        yield tag("h3", OVER_TIME[key] + timelines.most(result, key))
        yield _chart(key, f"{OVER_TIME[key]}: utilisation over time")
    if not there:
        yield tag("p", NO_SERIES)


def _places(result: Result) -> Iterator[Element]:
    sites = places.table_of(result, "site", "Call sites, by the share of all accesses' time")
    regions = places.table_of(result, "region", "Regions of memory, by the share of all accesses' time")
    if sites is not None:
        hint = tag("p", "A click on a heading sorts.", class_="note script")
        yield _section("Where in the program", hint, sites, regions, *listing.listings(result))


def _section(title: str, *parts: Element | None) -> Element:
    return tag("section", tag("h2", title), *parts)


def _chart(key: str, label: str) -> Element:
    told = tag("p", "This chart needs JavaScript; the numbers below do not.", class_="note")
    return tag("div", told, id=f"chart-{key}", class_="chart", role="img", aria_label=label)
