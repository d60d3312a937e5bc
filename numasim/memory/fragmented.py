"""A heap after long use: new objects go where old ones have been freed.

The model: a heap of Go's spans (go_classes) in random order of address, in which each slot is still held by an older
object with probability `occupied`, independently. A kind of span is swept span by span in random order, and within a
span free slots are used in ascending order, as the runtime does (src/runtime/mcentral.go cacheSpan, mbitmap.go
nextFreeIndex). So neighbours in program order are near each other for a span, with holes, then far away.
Tiny objects are not combined. Assumed, not measured: which slots of a real heap survive depends on the program.
"""

import numpy as np

from numasim.memory.go_classes import PAGE_BYTES, SIZES, SPAN_BYTES, header_bytes, slots_per_span, span_classes
from numasim.memory.pages import IntArray
from numasim.memory.request import Layout, Request


def fragmented(request: Request) -> Layout:
    """Objects in the holes of a used heap. Its older objects take part of `total` and are never handed out."""
    rng = np.random.Generator(np.random.PCG64(request.seed & (1 << 63) - 1))
    sizes = request.sizes
    found: list[tuple[IntArray, IntArray, IntArray]] = []  # objects, number of the span of each, offset in the span
    lengths: list[IntArray] = []
    spans = 0
    for size_class, noscan, index in span_classes(sizes, request.noscan):
        if size_class == 0:
            span, slot = np.arange(len(index)), np.zeros(len(index), np.int64)
            lengths.append((sizes[index] + (PAGE_BYTES - 1)) & -PAGE_BYTES)
        else:
            per_span = slots_per_span(size_class, noscan)
            span, slot = np.divmod(_holes(len(index), per_span, request.occupied, rng), per_span)
            slot *= SIZES[size_class]
            lengths.append(np.full(int(span[-1]) + 1, SPAN_BYTES[size_class]))
        found.append((index, span + spans, slot))
        spans += len(lengths[-1])
    length = np.concatenate(lengths)
    order = rng.permutation(spans)
    ends = np.cumsum(length[order])
    starts = np.empty(spans, np.int64)
    starts[order] = ends - length[order]
    offsets = np.empty(len(sizes), np.int64)
    for index, span, slot in found:
        offsets[index] = starts[span] + slot
    return Layout(offsets + header_bytes(sizes, request.noscan), int(ends[-1]))


def _holes(count: int, per_span: int, occupied: float, rng: np.random.Generator) -> IntArray:
    """The first `count` free slots, counted over spans of `per_span`."""
    parts: list[IntArray] = []
    found = first = 0
    while found < count:
        spans = int((count - found) / (per_span * (1 - occupied)) * 1.02) + 4
        free = np.flatnonzero(rng.random(spans * per_span, np.float32) >= occupied) + first
        parts.append(free[: count - found])
        found, first = found + len(parts[-1]), first + spans * per_span
    return np.concatenate(parts)
