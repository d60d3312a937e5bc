"""Call sites and regions of memory, as tables that can be sorted."""

from collections.abc import Sequence
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from numasim.engine.output import ACCESS_CAUSES
from numasim.results.distribution import Distribution
from numasim.results.figures import count, largest, ns, percent
from numasim.results.page.markup import name, table, tag, wide
from numasim.results.result import Result

MOST_ROWS = 100  # those most time goes to; the rest is one row
TALL = 25  # rows from which a table scrolls in a window of its own
TAIL = 99
SHOWN = (("L1-dcache-load-misses", "L1 misses"), ("LLC-load-misses", "L3 misses"))  # events, an access


class Place(NamedTuple):
    """What one call site, or one region, of one group cost."""

    group: str
    name: str
    latencies: Distribution
    share: float  # 0..1 of the time of all accesses
    tail_share: float  # 0..1 of the samples at or above p99
    counters: dict[str, int]


def places(result: Result, by: Literal["site", "region"]) -> tuple[list[Place], list[tuple[str, str]], float]:
    """(the places most time goes to, (group, name) of the others, the others' share of time)."""
    raw = result.raw
    members: dict[tuple[str, str], list[int]] = {}
    for number, (group, site, region) in enumerate(raw.classes):
        sites = result.sites[group] if group < len(result.sites) else []
        names, at = (sites, site) if by == "site" else (result.regions, region)
        known = names[at] if 0 <= at < len(names) else f"{by} {at}" if at >= 0 else f"no {by}"
        members.setdefault((raw.groups[group], known), []).append(number)
    spent = raw.access_rows[:, :, :-1].sum(axis=(1, 2))
    counts = raw.access_rows[:, :, -1].sum(axis=1)
    total = max(int(spent.sum()), 1)
    busy = [key for key, numbers in members.items() if counts[numbers].any()]
    ranked = sorted(busy, key=lambda key: (-int(spent[members[key]].sum()), key))
    in_tail = result.access.tail_shares(TAIL)
    tail = max(result.access.tail_count(TAIL), 1)
    found = []
    for key in ranked[:MOST_ROWS]:
        numbers = members[key]
        rows = raw.access_rows[numbers].sum(axis=0)
        used = [i for i in numbers if counts[i]]
        low, high = int(raw.access_min_ps[used].min()), int(raw.access_max_ps[used].max())
        latencies = Distribution(rows, raw.bucket_edges_ps, low, high, ACCESS_CAUSES)
        events = dict(zip(raw.event_names, raw.counters[numbers].sum(axis=0, dtype=np.int64).tolist(), strict=True))
        share = float(spent[numbers].sum()) / total
        found.append(Place(*key, latencies, share, float(in_tail @ rows[:, -1]) / tail, events))
    rest = ranked[MOST_ROWS:]
    return found, rest, sum(float(spent[members[key]].sum()) for key in rest) / total


def table_of(result: Result, by: Literal["site", "region"], title: str) -> Element | None:
    """One row a place; None if nothing was counted anywhere."""
    found, rest, rest_share = places(result, by)
    if not found:
        return None
    several = len(result.groups) > 1
    words = ["call site" if by == "site" else "region", *(["group"] if several else [])]
    heads = [_head(word, "word") for word in words] + [_head("time", None, aria_sort="descending")]
    heads += [_head(head) for head in ("accesses", "mean ns", "p99 ns", f"of slowest {100 - TAIL} %")]
    heads += [*(_head(head) for _, head in SHOWN), _head("mostly", "word")]
    rows = [tag("tr", _cells(place, several)) for place in found]
    if rest:
        more = tag("th", f"{count(len(rest))} more, with less time each (all are in the JSON)", scope="row")
        empty = [tag("td") for _ in heads[len(words) + 1 :]]
        rows.append(tag("tr", more, [tag("td")] * several, tag("td", percent(rest_share)), empty, class_="rest"))
    made = table(title, heads, rows, class_="sortable", id=f"{by}s")
    return wide(made, title, "wide tall" if len(found) > TALL else "wide")


def _head(text: str, kind: str | None = None, **attributes: str) -> Element:
    return tag("th", tag("button", text, type="button"), scope="col", class_=kind, **attributes)


def _cells(place: Place, several: bool) -> list[Element]:
    latencies = place.latencies
    p99 = latencies.percentile(TAIL)
    causes = largest(latencies.stack_ns)
    mostly = ", ".join(f"{cause}\u00a0{100 * share:.0f}\u00a0%" for cause, share in causes)
    events = [place.counters.get(event, 0) / latencies.count for event, _ in SHOWN]
    numbers: Sequence[tuple[float, str]] = [
        (place.share, percent(place.share)),
        (latencies.count, count(latencies.count)),
        (latencies.mean_ns, ns(latencies.mean_ns)),
        (p99, ns(p99)),
        (place.tail_share, percent(place.tail_share)),
        *((share, percent(share)) for share in events),
    ]
    first = [tag("th", name(place.name), scope="row", data_v=place.name[:200])]
    first += [tag("td", name(place.group), data_v=place.group[:200], class_="word")] if several else []
    middle = [tag("td", text, data_v=f"{value:.9g}") for value, text in numbers]
    return [*first, *middle, tag("td", mostly, data_v=mostly, class_="word")]
