"""Bump allocation: each object right behind the last one, at its alignment. An arena, a C array, a pool."""

import numpy as np

from numasim.memory.request import Layout, Request

DEFAULT_ALIGN = 8
PAGE_BYTES = 4096


def bump(request: Request) -> Layout:
    """Objects in a row, each at a multiple of `align` (8 bytes unless given)."""
    align = request.align or DEFAULT_ALIGN
    steps = (request.sizes + (align - 1)) & -align
    ends = np.cumsum(steps)
    return Layout(ends - steps, int(ends[-1]) if len(ends) else 0)


def onnode(request: Request) -> Layout:
    """Every object on pages of its own, as numa_alloc_onnode(3) gives them: all begin in the same cache sets."""
    return bump(request._replace(align=max(request.align, PAGE_BYTES)))
