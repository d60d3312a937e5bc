"""What a simulation hands back: plain arrays, before anything is named or averaged.

Contract: every time is int64 picoseconds and every size int64 bytes. Only what happened while counting was on is in
here, unless a field says otherwise. The sum of the causes of an access (or operation) is its latency, exactly.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

ACCESS_CAUSES: Final = (
    "l1", "l2", "l3", "split", "tlb_walk", "fill_wait", "fabric", "link_wait", "link", "memory_wait", "memory",
    "refresh", "coherence", "lock_wait", "os",
)  # fmt: skip
OPERATION_CAUSES: Final = (*ACCESS_CAUSES, "branch", "compute")
"""The causes of an operation's time: those of an access in the same order, then two of the core itself."""


class LinkUse(NamedTuple):
    """Traffic over one direction of one edge of the fabric (its parallel links together)."""

    source: str  # vertices, as machine.topology names them
    target: str
    link: str  # the [links.NAME] it is of
    bytes: int  # on the wire: requests and the overhead of data included
    busy_ps: int  # time its parallel links were occupied, summed over them
    capacity_gbps: float  # of its parallel links together


class ChannelUse(NamedTuple):
    """Traffic of one memory channel. A node whose memory is a curve is one channel."""

    node: int
    channel: int  # within the node
    read_bytes: int
    write_bytes: int
    busy_ps: int  # time its data bus was occupied


class ThreadInfo(NamedTuple):
    """Where a thread ran, and as part of what."""

    cpu: int
    group: int  # index into groups


class Timeline(NamedTuple):
    """When things began and ended, thread by thread: operations or, where no thread has any, accesses that left their
    core (its misses of L2). At most 20,000: if there were more, one in `every` of each thread."""

    what: str  # "operation" or "access"
    every: int  # 1: all of them
    thread: Ints  # [spans] index into threads
    begin_ps: Ints  # [spans] since counting began; of one kind and thread, in the order in which they ended
    end_ps: Ints  # [spans]
    name: Ints  # [spans] operations: index into groups; accesses: index into classes


class RawResult(NamedTuple):
    """Everything a simulation counted. `classes` are the rows of most arrays: (group, call site, region) numbers."""

    groups: list[str]
    classes: list[tuple[int, int, int]]  # index into groups; site number of that group's program; region id, -1: none

    bucket_edges_ps: npt.NDArray[np.float64]  # [buckets + 1]; a latency x is in bucket i if edges[i] <= x < edges[i+1]
    access_rows: Ints  # [classes, buckets, 16]: picoseconds by ACCESS_CAUSES, then the count
    access_min_ps: Ints  # [classes]; meaningless where nothing was counted
    access_max_ps: Ints
    op_rows: Ints  # [groups, buckets, 18]: picoseconds by OPERATION_CAUSES, then the count
    op_min_ps: Ints  # [groups]
    op_max_ps: Ints

    event_names: tuple[str, ...]  # perf's
    counters: Ints  # [classes, events]

    links: list[LinkUse]
    link_series: Ints  # [links, bins]: busy_ps a bin of time
    channels: list[ChannelUse]
    channel_series: Ints  # [channels, bins]
    series_bin_ps: int  # length of a bin; bin 0 begins where counting begins

    node_read_bytes: Ints  # [groups, nodes]: what each node served
    node_write_bytes: Ints
    group_read_bytes: Ints  # [groups]
    group_write_bytes: Ints
    group_time_ps: Ints  # [groups]: from the start of counting to the end of the group's last thread
    simulated_ps: int  # length of the counted stretch

    accesses_simulated: int  # warm-up included
    cpu_s: float  # of simulation and trace generation together
    partial: bool = False  # stopped before its end (Ctrl-C)
    threads: tuple[ThreadInfo, ...] = ()
    timeline: Timeline | None = None  # None: not asked for
    causes: tuple[str, ...] = OPERATION_CAUSES
