"""glibc's malloc (ptmalloc2) on a 64-bit machine, for a fresh heap that only grows.

Facts from malloc/malloc.c of glibc 2.36 and seen on a host with it: a chunk is the request plus an 8-byte header,
rounded up to 16, at least 32 bytes (request2size, MINSIZE); the user's pointer is 16 bytes into the chunk, and the
last 8 bytes of it overlap the next chunk's prev_size. The heap begins with the 0x290-byte chunk of the thread's cache.
Chunks of 128 KiB and more get a mapping of their own (DEFAULT_MMAP_THRESHOLD), whole pages, pointer at + 16.

Left out: such a chunk is cut from the top of the heap if it happens to fit there; the threshold grows when mapped
chunks are freed; libstdc++'s 72,704-byte emergency pool. Mappings lie behind the heap here, in ascending order.
"""

import numpy as np

from numasim.memory.pages import IntArray
from numasim.memory.request import Layout, Request

HEADER_BYTES = 16
MIN_CHUNK_BYTES = 32
FIRST_CHUNK = 0x290
MMAP_THRESHOLD_BYTES = 128 * 1024
_PAGE = 4096


def chunk_bytes(sizes: IntArray) -> IntArray:
    """Bytes of the heap that requests of these sizes take, header included."""
    rounded: IntArray = (sizes + (8 + 15)) & -16
    return np.maximum(rounded, MIN_CHUNK_BYTES)


def mapping_bytes(chunks: IntArray) -> IntArray:
    """Bytes of the mapping for chunks of these sizes (sysmalloc_mmap: 8 more bytes, whole pages)."""
    return (chunks + (8 + _PAGE - 1)) & -_PAGE


def malloc(request: Request) -> Layout:
    """Pointers malloc returns for the sizes in turn."""
    chunks = chunk_bytes(request.sizes)
    mapped = chunks >= MMAP_THRESHOLD_BYTES
    on_heap = np.where(mapped, 0, chunks)
    ends = np.cumsum(on_heap) + FIRST_CHUNK
    offsets = ends - on_heap + HEADER_BYTES
    total = int(ends[-1]) + HEADER_BYTES if len(ends) else 0
    if mapped.any():
        maps = mapping_bytes(chunks[mapped])
        first = (total + _PAGE - 1) & -_PAGE
        map_ends = np.cumsum(maps) + first
        offsets[mapped] = map_ends - maps + HEADER_BYTES
        total = int(map_ends[-1])
    return Layout(offsets, total)
