"""What a run has counted, as plain arrays."""

from typing import Any

import numpy as np

from numasim.engine import state as st
from numasim.engine.output import ACCESS_CAUSES, ChannelUse, LinkUse, RawResult, ThreadInfo, Timeline


def raw_result(run: Any, cpu_s: float, partial: bool) -> RawResult:
    """Everything the simulate.Run has counted."""
    m = run.m
    n = max(len(run.classes.keys), 1)
    rows, low, high, events = _folded(m, n)
    f = m.front
    origin = int(m.control[st.K_ORIGIN])
    ended = [int(f.ended[t]) if f.wait[t] == st.DONE else int(f.latest[t]) for t in range(m.threads)]
    finite = [e for e, t in zip(ended, run.threads, strict=True) if not t.program.endless] or [origin]
    stop = max(finite)
    group_time = [0] * len(run.groups)
    for g in range(len(run.groups)):
        mine = [min(e, stop) - origin for e, t in zip(ended, run.threads, strict=True) if t.group == g]
        group_time[g] = sum(mine) // max(len(mine), 1)
    traffic = np.asarray(m.dram.traffic).reshape(len(run.groups), -1, 2) * 64
    warm = sum(feed.warm for feed in run.feeds)
    return RawResult(
        groups=run.groups,
        classes=run.classes.keys or [(0, 0, -1)],
        bucket_edges_ps=bucket_edges(),
        access_rows=rows,
        access_min_ps=low,
        access_max_ps=high,
        op_rows=np.asarray(m.out.op_rows).reshape(len(run.groups), st.BUCKETS, st.OP_WORDS),
        op_min_ps=np.asarray(m.out.op_low),
        op_max_ps=np.asarray(m.out.op_high),
        event_names=st.EVENTS,
        counters=events,
        links=_links(run),
        link_series=np.asarray(m.links.series).reshape(-1, st.SERIES)[: m.links.edges],
        channels=_channels(run),
        channel_series=np.asarray(m.links.series).reshape(-1, st.SERIES)[m.links.edges :],
        series_bin_ps=1 << int(m.control[st.K_BIN]),
        node_read_bytes=traffic[:, :, 0],
        node_write_bytes=traffic[:, :, 1],
        group_read_bytes=traffic[:, :, 0].sum(axis=1),
        group_write_bytes=traffic[:, :, 1].sum(axis=1),
        group_time_ps=np.array(group_time, np.int64),
        simulated_ps=max(stop - origin, 0),
        accesses_simulated=int(rows[:, :, st.COUNT].sum()) + warm,
        cpu_s=cpu_s,
        partial=partial,
        threads=tuple(ThreadInfo(t.cpu, t.group) for t in run.threads),
        timeline=_timeline(m),
    )


def _timeline(m: st.Machine) -> Timeline | None:
    """The spans kept, if any were to be."""
    spans, origin = m.out.spans, int(m.control[st.K_ORIGIN])
    what, kept, every = spans.what, *(int(v) for v in spans.head)
    if what == st.NOTHING:
        return None
    thread, begin, end, name = (np.array(a[:kept]) for a in (spans.thread, spans.begin, spans.end, spans.name))
    told = "operation" if what == st.OPERATIONS else "access"
    return Timeline(told, 1 << every, thread, begin - origin, end - origin, name)


def _links(run: Any) -> list[LinkUse]:
    net, topology = run.m.links, run.machine.topology
    out = []
    for k, edge in enumerate(topology.edges):
        requests, lines = int(net.messages[2 * k]), int(net.messages[2 * k + 1])
        sent = requests * edge.request_bytes + lines * edge.data_bytes
        ends = topology.vertices[edge.source], topology.vertices[edge.target]
        out.append(LinkUse(*ends, edge.link, sent, int(net.busy[k]), edge.bandwidth_gbps * edge.count))
    return out


def _channels(run: Any) -> list[ChannelUse]:
    d, out = run.m.dram, []
    for node in range(d.nodes):
        burst = int(d.par[node * 32 + 4])
        for k in range(int(d.channels[node])):
            ch = int(d.first[node]) + k
            read, write = (int(d.busy[2 * ch + w]) for w in (0, 1))
            out.append(ChannelUse(node, k, read // burst * 64, write // burst * 64, read + write))
    return out


def _folded(m: st.Machine, n: int) -> tuple[Any, Any, Any, Any]:
    """Rows, extremes and events of the n classes in use, the loads that were only counted as L1 hits among them."""
    rows = np.asarray(m.out.rows).reshape(-1, st.BUCKETS, 16)[:n].copy()
    low, high = np.asarray(m.out.low)[:n].copy(), np.asarray(m.out.high)[:n].copy()
    events = np.asarray(m.out.events).reshape(-1, st.EVENT_WORDS)[:n, : len(st.EVENTS)].copy()
    hits, l1 = np.asarray(m.out.l1)[:n], m.p.l1
    bucket = int(np.searchsorted(bucket_edges(), l1, "right")) - 1
    rows[:, bucket, ACCESS_CAUSES.index("l1")] += hits * l1
    rows[:, bucket, st.COUNT] += hits
    low[hits > 0] = np.minimum(low[hits > 0], l1)
    high[hits > 0] = np.maximum(high[hits > 0], l1)
    events[:, st.E_LOAD] += hits
    return rows, low, high, events


def bucket_edges() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Picoseconds at which the histogram's buckets begin, and the end of the last: (BUCKETS + 1,)."""
    b = np.arange(st.BUCKETS + 1)
    edges = 2.0 ** (10 + b // st.PER) * (1 + b % st.PER / st.PER)
    edges[0] = 0
    return np.asarray(edges)
