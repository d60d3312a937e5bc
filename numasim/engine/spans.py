"""Spans: when operations, or accesses that left their core, began and ended. Kept where that is asked for, in an array
that does not grow: when it is full, each thread keeps every second one, and from then on half as many."""

from typing import Any

from numasim.engine.jit import rare
from numasim.engine.state import EVERY, KEPT, NOTHING


@rare
def thin_out(spans: Any) -> None:
    """The spans are full: from now on, and of those that are there, each thread keeps half as many."""
    spans.head[EVERY] += 1
    others, kept = (1 << spans.head[EVERY]) - 1, 0
    for i in range(spans.head[KEPT]):
        if spans.number[i] & others == 0:
            spans.thread[kept] = spans.thread[i]
            spans.number[kept] = spans.number[i]
            spans.name[kept] = spans.name[i]
            spans.begin[kept] = spans.begin[i]
            spans.end[kept] = spans.end[i]
            kept += 1
    spans.head[KEPT] = kept


@rare
def note_span(spans: Any, t: int, name: int, begin: int, end: int) -> None:
    """Something of thread t began and has ended. Of each thread one in 2**EVERY is kept, its first among them."""
    n = spans.seen[t]
    spans.seen[t] = n + 1
    if n & (1 << spans.head[EVERY]) - 1 == 0 and spans.head[KEPT] == spans.room:
        thin_out(spans)
    i = spans.head[KEPT]
    if n & (1 << spans.head[EVERY]) - 1 == 0 and i < spans.room:
        spans.thread[i] = t
        spans.number[i] = n
        spans.name[i] = name
        spans.begin[i] = begin
        spans.end[i] = end
        spans.head[KEPT] = i + 1


@rare
def forget_spans(spans: Any, threads: int) -> None:
    """Warm-up is over."""
    if spans.what != NOTHING:
        spans.head[KEPT] = 0
        spans.head[EVERY] = 0
        for t in range(threads):
            spans.seen[t] = 0
