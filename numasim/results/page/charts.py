"""The charts as plotly.js takes them: plain data. A colour is the name of a property in page.css ("--ink")."""

import math
from html import escape
from typing import Any

import numpy as np

from numasim.results.distribution import Distribution
from numasim.results.figures import MEANING, ns, percent, slowest
from numasim.results.page.answer import time_text, told
from numasim.results.page.markup import clean, short
from numasim.results.result import Of, Result

Chart = dict[str, Any]

MOST_LINES = 8  # groups in the first chart; as many colours and dashes tell apart
MOST_POINTS = 400  # of a line: more than a screen shows
MOST_STACKS = 24  # whose causes can be chosen
SMALL = 0.01  # of every bar: smaller causes are shown together as "other"
PERCENTILES = (50, 90, 99, 99.9, 99.99, 99.999, 99.9999)
FEWEST = 10  # samples that a percentile, or a bar, needs beyond it
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "10px,3px,2px,3px,2px,3px", "2px,6px")
HATCHED = {"fill_wait": "\\", "link_wait": "/", "memory_wait": "/", "lock_wait": "/", "refresh": ".", "split": "x"}


def plain(name: str) -> str:
    """A name as plotly.js shows it letter by letter: it would take tags for markup."""
    return escape(clean(short(name, 60)), quote=False)


def percentile_text(p: float) -> str:
    """p50, p99.9."""
    return f"p{p:g}"


def latencies(result: Result) -> Chart | None:
    """Share of accesses and operations that take longer, over latency; both axes logarithmic."""
    lines: list[tuple[str, int, str, Distribution]] = []
    groups = [group for group in result.groups.values() if group.access.count][:MOST_LINES]
    for number, group in enumerate(groups):
        kinds = [("access", group.access), ("operation", group.operation)]
        for what, distribution in kinds:
            if distribution is not None and distribution.count > 1:
                alone = len(groups) == 1
                label = what if alone else f"{plain(group.name)}, {what}"
                lines.append((label, len(lines) if alone else number, what, distribution))
    if not lines:
        return None
    end = -math.log10(2 * max(distribution.count for *_, distribution in lines))
    least = min(distribution.min_ns for *_, distribution in lines)
    most = max(distribution.max_ns for *_, distribution in lines)
    traces: list[Chart] = []
    for label, number, what, distribution in lines:
        color, dash = f"--group{number}", DASHES[number]
        traces += [_curve(label, color, dash, what, distribution, end), _marks(label, color, what, distribution)]
    shares = [p for p in (0, *PERCENTILES) if math.log10(1 - p / 100) > end]
    low, high = math.log10(max(least, 0.1)), math.log10(max(most, 0.2))
    margin = 0.03 * (high - low) + 0.01
    at, text = _time_ticks(low, high)
    layout = {
        "xaxis": {"type": "log", "range": [low - margin, high + margin], "tickvals": at, "ticktext": text,
                  "title": {"text": "latency"}},
        "yaxis": {"type": "log", "range": [0, end], "tickvals": [1 - p / 100 for p in shares],
                  "ticktext": [f"{p:g} %" for p in shares], "title": {"text": "share that is faster"}},
        "hovermode": "closest",
        "showlegend": len(lines) > 1,
    }  # fmt: skip
    return {"data": traces, "layout": layout, "height": 400}


def _curve(label: str, color: str, dash: str, what: str, of: Distribution, end: float) -> Chart:
    x, below = of.cdf()
    # the rarest end where the axis does: all are within the slowest
    y = np.where(below < 1, 1 - below, 10**end)
    x, y, below = _thinned(x, y, below)
    return {
        "type": "scatter", "mode": "lines", "name": label, "legendgroup": label, "x": _rounded(x), "y": _rounded(y),
        "line": {"color": color, "dash": dash, "shape": "hv", "width": 2.4 if what == "operation" else 1.6},
        "customdata": [[time_text(a), _exact_percent(b)] for a, b in zip(x, below, strict=True)],
        "hovertemplate": "%{fullData.name}<br>%{customdata[1]} take at most %{customdata[0]}<extra></extra>",
    }  # fmt: skip


def _marks(label: str, color: str, what: str, of: Distribution) -> Chart:
    """The percentiles of the table, as points on the line."""
    points = [p for p in PERCENTILES if of.count * (100 - p) / 100 >= FEWEST]
    values = [of.percentile(p) for p in points]
    return {
        "type": "scatter", "mode": "markers", "name": label, "legendgroup": label, "showlegend": False,
        "x": values, "y": [1 - p / 100 for p in points],
        "marker": {"color": color, "size": 7, "symbol": "circle" if what == "access" else "diamond"},
        "customdata": [[percentile_text(p), time_text(v)] for p, v in zip(points, values, strict=True)],
        "hovertemplate": "%{fullData.name}<br>%{customdata[0]} = %{customdata[1]}<extra></extra>",
    }  # fmt: skip


def _thinned(x: np.ndarray, y: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Without points that fall onto the one before, if there are many."""
    if len(x) <= MOST_POINTS:
        return x, y, below
    width = np.ptp(np.log10(x)) + np.ptp(np.log10(y))
    way = np.r_[0, np.cumsum(np.abs(np.diff(np.log10(x))) + np.abs(np.diff(np.log10(y))))]
    cell = np.floor(way / width * (MOST_POINTS - 1)).astype(int)
    kept = np.r_[True, np.diff(cell) > 0]
    kept[-1] = True
    return x[kept], y[kept], below[kept]


def _exact_percent(share: float) -> str:
    """Of a share near 1, as many nines as it has and two digits more."""
    if share >= 1:
        return "all"
    digits = max(0, min(9, 1 - math.floor(math.log10(max(1 - share, 1e-12))) - 1))
    return f"{100 * share:.{digits}f} %"


def _time_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Marks at 1, 2, 5, 10 ... (at powers of ten alone, if the axis is long) between powers of ten, and their words."""
    steps = (1, 2, 5) if high - low < 2.2 else (1, 3) if high - low < 3.2 else (1,)
    values = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    texts = []
    for value in values:
        unit, size = next((u, s) for u, s in (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1)) if value >= s or s == 1)
        texts.append(f"{value / size:g} {unit}")
    return values, texts


def stacks(result: Result) -> dict[str, Chart]:
    """By "group, access|operation": what everything, and each slower tail of it, is made of, as bars of 100 %."""
    found: dict[str, Chart] = {}
    for group in result.groups.values():
        kinds: list[tuple[Of, Distribution | None]] = [("operation", group.operation), ("access", group.access)]
        kinds.sort(key=lambda kind: kind[0] != told(group)[0])  # first what the sentence at the top is about
        for of, distribution in kinds:
            if distribution is not None and distribution.count and len(found) < MOST_STACKS:
                key = of if len(result.groups) == 1 else f"{short(group.name, 60)}, {of}"
                found[key] = _bars(distribution)
    return found


def _bars(of: Distribution) -> Chart:
    tails = [0.0, *(p for p in PERCENTILES if of.count * (100 - p) / 100 >= FEWEST)]
    parts = [of.tail_stack_ns(p) for p in tails]
    means = [sum(part.values()) or 1.0 for part in parts]
    words = ["all", *(slowest(p, of.count) for p in tails[1:])]
    large = [c for c in of.causes if any(part[c] >= SMALL * mean for part, mean in zip(parts, means, strict=True))]
    columns = {cause: [part[cause] for part in parts] for cause in large}
    rest = [mean - sum(part[c] for c in large) for part, mean in zip(parts, means, strict=True)]
    if any(value > 1e-9 * mean for value, mean in zip(rest, means, strict=True)):
        columns["other"] = [max(value, 0.0) for value in rest]
    traces = [_bar(cause, column, means, words) for cause, column in columns.items()]
    above = [{"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8, "y": i, "yref": "y", "showarrow": False,
              "text": time_text(mean), "align": "left"} for i, mean in enumerate(means)]  # fmt: skip
    layout = {
        "barmode": "stack", "bargap": 0.25, "hovermode": "closest", "showlegend": False, "annotations": above,
        "xaxis": {"range": [0, 1], "tickformat": ".0%", "title": {"text": "share of their time"}},
        "yaxis": {"tickvals": list(range(len(words))), "ticktext": words, "range": [len(words) - 0.5, -0.5]},
        "margin": {"r": 84},
    }  # fmt: skip
    return {"data": traces, "layout": layout, "height": 70 + 42 * len(words)}


def causes(stacks: dict[str, Chart]) -> list[str]:
    """All causes that have a bar somewhere, in their order."""
    used = {trace["name"] for chart in stacks.values() for trace in chart["data"]}
    return [cause for cause in (*MEANING, "other") if cause in used]


def _bar(cause: str, column: list[float], means: list[float], words: list[str]) -> Chart:
    shares = [value / mean for value, mean in zip(column, means, strict=True)]
    pattern: Chart = {"shape": HATCHED.get(cause, ""), "bgcolor": f"--{cause}", "fgcolor": "--hatch"}
    pattern |= {"size": 6, "solidity": 0.28}
    rows = zip(words, column, shares, strict=True)
    return {
        "type": "bar", "orientation": "h", "name": cause, "x": _rounded(shares), "y": list(range(len(words))),
        "marker": {"color": f"--{cause}", "pattern": pattern, "line": {"color": "--paper", "width": 1}},
        "text": [cause] * len(words), "textposition": "inside",
        "insidetextanchor": "middle", "textangle": 0, "constraintext": "none", "textfont": {"color": f"--{cause}-ink"},
        "customdata": [[word, f"{ns(value)} ns", percent(share)] for word, value, share in rows],
        "hovertemplate": "%{customdata[0]}<br>%{fullData.name} %{customdata[1]}, %{customdata[2]}<extra></extra>",
    }  # fmt: skip


def _rounded(values: Any) -> list[float]:
    """Six digits are more than a screen has, and a third of the text."""
    return [float(f"{value:.6g}") for value in values]
