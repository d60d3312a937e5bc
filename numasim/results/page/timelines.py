"""Utilisation over time: lines for links and memories, a map of all channels."""

from typing import Any

import numpy as np

from numasim.results.figures import percent
from numasim.results.page.charts import DASHES, Chart, plain
from numasim.results.result import Result

MOST_LINES = 8  # of one chart: the busiest
MOST_CHANNELS = 64  # rows of the map: the busiest
MOST_BINS = 240  # points in time; shorter bins are averaged

Series = tuple[str, float, Any]  # name, mean utilisation, utilisation a bin


def links(result: Result) -> Chart | None:
    """The busiest directions of links, one line each."""
    rows: list[Series] = [
        (f"{plain(load.source)} to {plain(load.target)} ({plain(load.link)})", load.utilisation, load.series)
        for load in result.links
        if load.gbps
    ]
    return _lines(result, rows)


def most(result: Result, which: str) -> str:
    """What a heading adds where a chart does not show all: (the 8 busiest of 20)."""
    there = {
        "links": (sum(load.gbps > 0 for load in result.links), MOST_LINES),
        "memories": (sum(load.utilisation > 0 for load in result.memory), MOST_LINES),
        "channels": (sum(use.busy_ps > 0 for use in result.raw.channels), MOST_CHANNELS),
    }[which]
    return f" (the {there[1]} busiest of {there[0]})" if there[0] > there[1] else ""


def memories(result: Result) -> Chart | None:
    """The busiest nodes' memories, the mean of their channels."""
    rows: list[Series] = [(f"node {m.node}", m.utilisation, m.series) for m in result.memory if m.utilisation]
    return _lines(result, rows)


def channels(result: Result) -> Chart | None:
    """A map: a row a channel, time to the right. Only where several channels were busy, else the lines say it."""
    raw = result.raw
    length = max(raw.simulated_ps, 1)
    busy = [(i, use) for i, use in enumerate(raw.channels) if use.busy_ps]
    if len(busy) < 2 or raw.channel_series.shape[1] < 2:
        return None
    busiest = sorted(busy, key=lambda item: -item[1].busy_ps)[:MOST_CHANNELS]
    chosen = sorted(busiest, key=lambda item: (item[1].node, item[1].channel))
    series = raw.channel_series[[i for i, _ in chosen]] / _bin_ps(result, raw.channel_series.shape[1])
    times, values = _coarse(result, series)
    names = [f"node {use.node} ch {use.channel}" for _, use in chosen]
    hover = [
        [f"{name}, mean {percent(use.busy_ps / length)}"] * len(times)
        for name, (_, use) in zip(names, chosen, strict=True)
    ]
    data = {
        "type": "heatmap", "x": times, "y": names, "z": np.round(100 * values, 1).tolist(), "zmin": 0, "zmax": 100,
        "colorscale": [[0, "--heat0"], [0.5, "--heat1"], [1, "--heat2"]], "ygap": 1, "customdata": hover,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickvals": [0, 50, 100],
                     "ticktext": ["0 %", "50 %", "100 %"]},
        "hovertemplate": "%{customdata}<br>%{z} % busy at %{x} " + _unit(result)[0] + "<extra></extra>",
    }  # fmt: skip
    step = -(-len(names) // 16)
    layout = {
        "xaxis": _time_axis(result),
        "yaxis": {"autorange": "reversed", "tickvals": names[::step], "ticktext": names[::step]},
        "showlegend": False,
    }
    return {"data": [data], "layout": layout, "height": 120 + max(12 * len(names), 80)}


def _lines(result: Result, rows: list[Series]) -> Chart | None:
    rows = sorted(rows, key=lambda row: -row[1])[:MOST_LINES]
    if not rows or len(rows[0][2]) < 2:
        return None
    times, values = _coarse(result, np.array([series for *_, series in rows]))
    data = []
    for number, (name, mean, _) in enumerate(rows):
        data.append({
            "type": "scatter", "mode": "lines", "name": f"{name}: {percent(mean)}", "x": times,
            "y": np.round(100 * values[number], 2).tolist(),
            "line": {"color": f"--group{number}", "dash": DASHES[number], "width": 1.8},
            "hovertemplate": f"%{{fullData.name}}<br>%{{y:.1f}} % busy at %{{x}} {_unit(result)[0]}<extra></extra>",
        })  # fmt: skip
    top = max(1.0, float(values.max()) * 100)
    layout = {
        "xaxis": _time_axis(result),
        "yaxis": {"range": [0, 105 if top > 50 else 1.1 * top], "ticksuffix": " %", "title": {"text": "busy"}},
        "hovermode": "closest",
        "showlegend": True,
    }
    return {"data": data, "layout": layout, "height": 300}


def _bin_ps(result: Result, bins: int) -> Any:
    """Length of each bin: the last one ends with the stretch."""
    starts = np.arange(bins, dtype=np.int64) * result.raw.series_bin_ps
    return np.clip(result.raw.simulated_ps - starts, 1, max(result.raw.series_bin_ps, 1))


def _coarse(result: Result, series: Any) -> tuple[list[float], Any]:
    """(middles of bins in the axis's unit, means [rows, bins]) of at most MOST_BINS bins of equal length."""
    bins = series.shape[1]
    lengths = _bin_ps(result, bins)
    many = -(-bins // MOST_BINS)
    begins = np.arange(0, bins, many)
    total = np.add.reduceat(lengths, begins)
    means = np.add.reduceat(series * lengths, begins, axis=1) / total
    middles = (begins * result.raw.series_bin_ps + total / 2) / _unit(result)[1]
    return [float(f"{t:.5g}") for t in middles], means


def _unit(result: Result) -> tuple[str, float]:
    """(name, picoseconds) of the unit that suits the length of the stretch."""
    for unit, ps in (("s", 1e12), ("ms", 1e9), ("us", 1e6)):
        if result.raw.simulated_ps >= 2 * ps:
            return unit, ps
    return "ns", 1e3


def _time_axis(result: Result) -> dict[str, Any]:
    unit, ps = _unit(result)
    return {"title": {"text": f"{unit} since counting began"}, "range": [0, result.raw.simulated_ps / ps]}
