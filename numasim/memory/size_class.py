"""Go's allocator on a fresh heap, used by one goroutine: each kind of span cuts objects of one size class.

A kind takes a new span when its last one is full; spans lie one behind the other in the order they are taken, and their
slots are used in ascending order. Objects with and without pointers have spans of their own, and those without pointers
under 16 bytes share 16-byte blocks. Facts from src/runtime/malloc.go and mheap.go (Go 1.22 to 1.25); that the page
allocator fills the first gap it finds, and that each processor caches 64 pages, changes nothing on a fresh heap.
"""

import numpy as np

from numasim.memory.go_classes import PAGE_BYTES, SIZES, SPAN_BYTES, header_bytes, slots_per_span, span_classes
from numasim.memory.pages import IntArray
from numasim.memory.request import BoolArray, Layout, Request

TINY_BYTES = 16


def size_class(request: Request) -> Layout:
    """Pointers that Go's mallocgc returns for the sizes in turn."""
    sizes, noscan = request.sizes, request.noscan
    tiny = noscan & (sizes < TINY_BYTES)
    if not tiny.any():
        return _in_spans(sizes, noscan)
    block, within = _tiny_blocks(sizes[tiny])
    opens = np.diff(block, prepend=-1) > 0  # numbers ascend, and only the current block is used again
    takes_slot = ~tiny
    takes_slot[np.flatnonzero(tiny)[opens]] = True
    slots, total = _in_spans(
        np.where(tiny, TINY_BYTES, sizes)[takes_slot], np.broadcast_to(noscan, sizes.shape)[takes_slot]
    )
    offsets = np.empty(len(sizes), np.int64)
    offsets[takes_slot] = slots
    offsets[tiny] = offsets[tiny][opens][block] + within
    return Layout(offsets, total)


def _in_spans(sizes: IntArray, noscan: BoolArray) -> Layout:
    """Places objects that each take a slot: first the spans in the order they are taken, then the slots in them."""
    kinds = list(span_classes(sizes, noscan))
    taken, pages = [], []  # for each span: the object that made the allocator take it, and its length
    for size_class, without, index in kinds:
        if size_class == 0:
            taken.append(index)
            pages.append(-(-sizes[index] // PAGE_BYTES))
        else:
            taken.append(index[:: slots_per_span(size_class, without)])
            pages.append(np.full(len(taken[-1]), SPAN_BYTES[size_class] // PAGE_BYTES))
    order = np.argsort(np.concatenate(taken), kind="stable")
    ends = np.cumsum(np.concatenate(pages)[order]) * PAGE_BYTES
    starts = np.empty(len(order), np.int64)
    starts[order] = np.concatenate([[0], ends[:-1]])
    offsets = np.empty(len(sizes), np.int64)
    for size_class, without, index in kinds:
        mine, starts = starts[: len(taken[0])], starts[len(taken.pop(0)) :]
        if size_class:
            slots = np.arange(slots_per_span(size_class, without)) * SIZES[size_class]
            mine = (mine[:, None] + slots).ravel()[: len(index)]
        offsets[index] = mine
    return Layout(offsets + header_bytes(sizes, noscan), int(ends[-1]))


def _tiny_blocks(sizes: IntArray) -> tuple[IntArray, IntArray]:
    """Block number and offset in the block of each tiny object, as the tiny allocator combines them.

    An object goes into the current block if it fits at its alignment, else into a new one, which becomes the current
    block if it has more room left than the old. Sizes that differ need a walk in Python, about 0.3 us an object.
    """
    if (sizes == sizes[0]).all():
        number = np.arange(len(sizes))
        per_block = TINY_BYTES // int(sizes[0])
        return number // per_block, number % per_block * sizes
    block, within = np.empty(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    current, used, opened = -1, TINY_BYTES, 0
    for i, size in enumerate(sizes.tolist()):
        align = min(size & -size, 8)
        start = -(-used // align) * align
        if start + size <= TINY_BYTES:
            block[i], within[i], used = current, start, start + size
            continue
        block[i] = opened
        if size < used:
            current, used = opened, size
        opened += 1
    return block, within
