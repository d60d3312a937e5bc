"""Go's size classes and the slots of its spans: the arithmetic `size_class` and `fragmented` share.

Facts from the Go source (github.com/golang/go). Classes and span sizes: src/runtime/sizeclasses.go, later
src/internal/runtime/gc/sizeclasses.go, with the same table. Since 1.22 (src/runtime/mheap.go, initSpan; mbitmap.go,
heapBitsInSpan) objects with pointers of up to 512 bytes leave 1/64 of their span to the pointer bitmap at its end, and
larger ones carry an 8-byte header in front. The inline mark bits that the greenteagc collector adds are left out.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from numasim.memory.pages import IntArray
from numasim.memory.request import BoolArray

PAGE_BYTES = 8192
MAX_SMALL_BYTES = 32768
HEADER_BYTES = 8
MIN_SIZE_FOR_HEADER = 512

# (bytes an object, pages a span), classes 1 to 67; class 0 is what is larger than 32 KiB
_CLASSES = (
    *((size, 1) for size in (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256)),
    *((size, 1) for size in (288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280)),
    *((1408, 2), (1536, 1), (1792, 2), (2048, 1), (2304, 2), (2688, 1), (3072, 3), (3200, 2), (3456, 3), (4096, 1)),
    *((4864, 3), (5376, 2), (6144, 3), (6528, 4), (6784, 5), (6912, 6), (8192, 1), (9472, 7), (9728, 6), (10240, 5)),
    *((10880, 4), (12288, 3), (13568, 5), (14336, 7), (16384, 2), (18432, 9), (19072, 7), (20480, 5), (21760, 8)),
    *((24576, 3), (27264, 10), (28672, 7), (32768, 4)),
)
SIZES: IntArray = np.array([0, *(size for size, _ in _CLASSES)], np.int64)
SPAN_BYTES: IntArray = np.array([0, *(pages * PAGE_BYTES for _, pages in _CLASSES)], np.int64)
_CLASS_OF_SIZE = np.searchsorted(SIZES, np.arange(MAX_SMALL_BYTES + 1)).astype(np.uint8)


def class_of(sizes: IntArray) -> npt.NDArray[np.uint8]:
    """Size class of each number of bytes (header included), 0 for more than 32 KiB."""
    return np.where(sizes > MAX_SMALL_BYTES, np.uint8(0), _CLASS_OF_SIZE[np.minimum(sizes, MAX_SMALL_BYTES)])


def header_bytes(sizes: IntArray, noscan: BoolArray) -> IntArray:
    """Bytes in front of each object that name its type: 8 with pointers and 513 to 32,760 bytes, else 0."""
    within = (sizes > MIN_SIZE_FOR_HEADER) & (sizes <= MAX_SMALL_BYTES - HEADER_BYTES)
    return np.where(within & ~noscan, np.int64(HEADER_BYTES), np.int64(0))


def slot_bytes(sizes: IntArray, noscan: BoolArray) -> IntArray:
    """Bytes of heap each object takes: its class's size, or whole 8 KiB pages above 32 KiB; header included."""
    full = sizes + header_bytes(sizes, noscan)
    classes = class_of(full)
    return np.where(classes == 0, (full + (PAGE_BYTES - 1)) & -PAGE_BYTES, SIZES[classes])


def slots_per_span(size_class: int, noscan: bool) -> int:
    """Objects a span of a class (1 to 67) holds, the pointer bitmap of small objects with pointers taken off."""
    size, span = int(SIZES[size_class]), int(SPAN_BYTES[size_class])
    bitmap = 0 if noscan or size > MIN_SIZE_FOR_HEADER else span // 64
    return (span - bitmap) // size


def span_classes(sizes: IntArray, noscan: BoolArray) -> Iterator[tuple[int, bool, IntArray]]:
    """(size class, noscan, indices in program order) for each kind of span that the objects need."""
    keys = class_of(sizes + header_bytes(sizes, noscan)) << np.uint8(1) | noscan
    counts = np.bincount(keys, minlength=2 * len(SIZES))
    order = np.argsort(keys, kind="stable") if np.count_nonzero(counts) > 1 else np.arange(len(keys))
    first = 0
    for key in np.flatnonzero(counts).tolist():
        yield key >> 1, bool(key & 1), order[first : first + int(counts[key])]
        first += int(counts[key])
