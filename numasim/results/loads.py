"""How busy links and memories were, over the counted stretch and bin by bin."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.engine.output import Ints, RawResult

Floats = npt.NDArray[np.float64]


class LinkLoad(NamedTuple):
    """One direction of one edge of the fabric, its parallel links together."""

    source: str
    target: str
    link: str  # the [links.NAME] of the machine it is of
    gbps: float  # on the wire, overhead included
    utilisation: float  # 0..1 of its capacity
    series: Floats  # utilisation a bin of time


class MemoryLoad(NamedTuple):
    """The memory of one node, its channels together."""

    node: int
    read_gbps: float
    write_gbps: float
    utilisation: float  # 0..1: mean share of time its data buses were occupied
    series: Floats  # utilisation a bin of time


def gbps(size_bytes: float, time_ps: float) -> float:
    """1e9 bytes a second; 0 if no time passed."""
    return 1000 * size_bytes / time_ps if time_ps > 0 else 0.0


def link_loads(raw: RawResult) -> list[LinkLoad]:
    """One entry a direction of an edge, in the machine's order."""
    lengths = _bin_lengths_ps(raw, raw.link_series.shape[1])
    loads = []
    for use, busy in zip(raw.links, raw.link_series, strict=True):
        rate = gbps(use.bytes, raw.simulated_ps)
        utilisation = rate / use.capacity_gbps if use.capacity_gbps > 0 else 0.0
        # busy time counts every parallel link; scaled so that the whole series means the utilisation
        scale = utilisation * raw.simulated_ps / use.busy_ps if use.busy_ps else 0.0
        loads.append(LinkLoad(use.source, use.target, use.link, rate, utilisation, scale * busy / lengths))
    return loads


def memory_loads(raw: RawResult) -> list[MemoryLoad]:
    """One entry a node. A node none of whose channels is reported shows what it served to the groups."""
    lengths = _bin_lengths_ps(raw, raw.channel_series.shape[1])
    nodes = sorted({use.node for use in raw.channels} | set(range(raw.node_read_bytes.shape[1])))
    loads = []
    for node in nodes:
        mine = [i for i, use in enumerate(raw.channels) if use.node == node]
        if mine:
            read = sum(raw.channels[i].read_bytes for i in mine)
            write = sum(raw.channels[i].write_bytes for i in mine)
            busy = sum(raw.channels[i].busy_ps for i in mine) / len(mine)
            series = raw.channel_series[mine].mean(axis=0) / lengths
        else:
            read, write = int(raw.node_read_bytes[:, node].sum()), int(raw.node_write_bytes[:, node].sum())
            busy, series = 0.0, np.zeros(len(lengths))
        utilisation = busy / raw.simulated_ps if raw.simulated_ps else 0.0
        time = raw.simulated_ps
        loads.append(MemoryLoad(node, gbps(read, time), gbps(write, time), utilisation, series))
    return loads


def _bin_lengths_ps(raw: RawResult, bins: int) -> Ints:
    """Length of each bin: the last one ends with the stretch."""
    starts = np.arange(bins, dtype=np.int64) * raw.series_bin_ps
    return np.clip(raw.simulated_ps - starts, 1, max(raw.series_bin_ps, 1))
