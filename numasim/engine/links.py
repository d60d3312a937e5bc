"""Links: messages serialise on a lane of their edge, wait for those before them, and travel for its latency."""

from typing import Any

from numasim.engine.cache import mix
from numasim.engine.jit import kernel, rare
from numasim.engine.state import K_BIN, K_COUNTING, K_ORIGIN, SERIES


@rare
def widen(control: Any, series: Any, resources: int) -> None:
    """The utilisation series are full: two bins become one, in all of them."""
    control[K_BIN] += 1
    for r in range(resources):
        at = r * SERIES
        for i in range(SERIES // 2):
            series[at + i] = series[at + 2 * i] + series[at + 2 * i + 1]
        for i in range(SERIES // 2, SERIES):
            series[at + i] = 0


@kernel
def note_busy(control: Any, series: Any, resources: int, r: int, start: int, length: int) -> None:
    """Resource r is busy for `length` from `start` on. All series share one array and one bin width."""
    if control[K_COUNTING]:
        i = start - control[K_ORIGIN] >> control[K_BIN]
        while i >= SERIES:
            widen(control, series, resources)
            i = start - control[K_ORIGIN] >> control[K_BIN]
        if i >= 0:
            series[r * SERIES + i] += length


@kernel
def lane_of(links: Any, edge: int, line: int) -> int:
    """Lines are spread over an edge's parallel links by a hash of their address."""
    n = links.lanes[edge]
    return links.first[edge] + ((mix(line & 0xFFFFFFFF) >> 9 & 0xFFFFFF) % n if n > 1 else 0)


@kernel
def send(links: Any, control: Any, edge: int, line: int, data: int, now: int) -> tuple[int, int]:
    """Send a message over an edge at `now`: (when it starts to leave, when its tail has left)."""
    length = links.data[edge] if data else links.request[edge]
    lane = lane_of(links, edge, line)
    start = max(now, links.free[lane])
    links.free[lane] = start + length
    links.messages[2 * edge + data] += 1
    links.busy[edge] += length
    note_busy(control, links.series, links.resources, edge, start, length)
    return start, start + length
