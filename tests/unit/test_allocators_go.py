"""Where does Go put objects? Against the runtime's published table and a slow model of its allocator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.memory import allocate
from numasim.memory.go_classes import SIZES, SPAN_BYTES, slot_bytes, slots_per_span

# Go 1.25, src/internal/runtime/gc/sizeclasses.go, classes 1 to 67: objects a span, tail waste (bytes), max waste (%)
PUBLISHED = """
      1024 0 87.50 |    512 0 43.75 |    341 8 29.24 |    256 0 21.88 |   170 32 31.52
       128 0 23.44 |   102 32 19.07 |    85 32 15.95 |    73 16 13.56 |     64 0 11.72
      56 128 11.82 |     51 32 9.73 |     46 96 9.59 |    42 128 9.25 |     39 80 8.12
       36 128 8.15 |     34 32 6.62 |      32 0 5.86 |   28 128 12.16 |   25 192 11.80
        23 96 9.88 |    21 128 9.51 |   19 288 10.71 |    18 128 8.37 |     17 32 6.82
         16 0 6.05 |   14 128 12.33 |   12 512 15.48 |   11 448 13.93 |   10 512 13.94
       9 128 15.52 |      8 0 12.40 |    7 128 12.41 |    6 512 15.55 |   11 896 14.00
       5 512 14.00 |    9 256 15.57 |      4 0 12.45 |    7 256 12.46 |    3 128 15.59
         8 0 12.47 |     5 384 6.22 |     7 384 8.83 |      2 0 15.60 |    5 256 16.65
       3 256 10.92 |      4 0 12.48 |     5 128 6.23 |     6 256 4.36 |     7 768 3.37
         1 0 15.61 |    6 512 14.28 |     5 512 3.64 |       4 0 4.99 |     3 128 6.24
         2 0 11.45 |     3 256 9.99 |       4 0 5.35 |      1 0 12.49 |      4 0 11.11
        3 128 3.57 |       2 0 6.87 |     3 256 6.25 |      1 0 11.45 |    3 128 10.00
          2 0 4.91 |      1 0 12.50
"""
OBJECTS, TAIL_WASTE, MAX_WASTE = np.array(
    [row.split() for row in PUBLISHED.replace("\n", "|").split("|") if row.strip()], float
).T


def test_the_size_classes_have_the_published_columns():
    assert len(SIZES) == len(SPAN_BYTES) == 68
    assert (SPAN_BYTES[1:] // SIZES[1:] == OBJECTS).all()
    assert (SPAN_BYTES[1:] % SIZES[1:] == TAIL_WASTE).all()
    # a span full of the smallest objects of its class: (size - smallest) each, and the tail
    worst = (OBJECTS * (SIZES[1:] - SIZES[:-1] - 1) + TAIL_WASTE) / SPAN_BYTES[1:]
    assert np.abs(100 * worst - MAX_WASTE).max() < 0.006


def test_the_size_classes_keep_the_invariants_of_their_generator():
    # mksizeclasses.go: ascending, aligned the more the larger, spans of whole pages, at most an eighth lost at the tail
    assert (np.diff(SIZES) > 0).all()
    aligned = np.select([SIZES > 2048, SIZES >= 128, SIZES >= 32], [128, 16, 16], 8)
    assert (SIZES % aligned == 0).all()
    assert (SPAN_BYTES[1:] % 8192 == 0).all()
    assert (SPAN_BYTES[1:] % SIZES[1:] <= SPAN_BYTES[1:] / 8).all()


class GoHeap:
    """The paths of mallocgc for one processor, an object at a time, from the published table above."""

    def __init__(self):
        self.pages = 0
        self.spans = {}  # (size, noscan) -> [address of the next slot, slots left]
        self.tiny, self.tinyoffset = None, 0
        self.table = [(int(s), int(s * n + t)) for s, n, t in zip(SIZES[1:], OBJECTS, TAIL_WASTE, strict=True)]

    def page_run(self, npages):
        self.pages += npages
        return (self.pages - npages) * 8192

    def slot(self, need, noscan):
        size, span = next((s, b) for s, b in self.table if s >= need)
        cache = self.spans.setdefault((size, noscan), [0, 0])
        if cache[1] == 0:
            usable = span - (span // 8 // 8 if not noscan and size <= 512 else 0)
            cache[:] = [self.page_run(span // 8192), usable // size]
        cache[0], cache[1] = cache[0] + size, cache[1] - 1
        return cache[0] - size

    def mallocgc(self, size, noscan):
        if size > 32768 - 8:
            return self.page_run(-(-size // 8192))
        if noscan and size < 16:
            offset = self.tinyoffset
            for align in (8, 4, 2):
                if size % align == 0:
                    offset = (offset + align - 1) // align * align
                    break
            if self.tiny is not None and offset + size <= 16:
                self.tinyoffset = offset + size
                return self.tiny + offset
            block = self.slot(16, True)
            if self.tiny is None or size < self.tinyoffset:
                self.tiny, self.tinyoffset = block, size
            return block
        if not noscan and size > 512:
            return self.slot(size + 8, noscan) + 8
        return self.slot(size, noscan)


go_sizes = st.one_of(st.integers(1, 16), st.integers(1, 600), st.sampled_from([8, 8, 48]), st.integers(1, 70_000))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(go_sizes, st.booleans()), min_size=1, max_size=400))
def test_size_class_gives_the_pointers_of_gos_allocator(objects):
    heap = GoHeap()
    expected = [heap.mallocgc(size, noscan) for size, noscan in objects]
    sizes, noscan = zip(*objects, strict=True)
    offsets, total = allocate("size_class", sizes, noscan=noscan)
    assert offsets.tolist() == expected
    assert total == heap.pages * 8192


@pytest.mark.parametrize("size", range(1, 16))
def test_tiny_objects_of_one_size_share_blocks_as_gos_do(size):
    heap = GoHeap()
    expected = [heap.mallocgc(size, True) for _ in range(50)]
    assert allocate("size_class", size, count=50, noscan=True).offsets.tolist() == expected


def test_a_list_of_boxed_integers_takes_56_bytes_an_element():
    # container/list.Element is 40 bytes with pointers: class 48; the boxed int64 is 8 without, two to a 16-byte block
    offsets, _ = allocate("size_class", [8, 40] * 1000, noscan=[True, False] * 1000)
    boxes, elements = offsets[0::2], offsets[1::2]
    assert (boxes[:1000] - boxes[0]).tolist() == list(range(0, 8000, 8))
    assert (np.diff(elements[:168]) == 48).all()  # (8192 - 128) // 48 = 168 to a span, the bitmap at its end
    assert elements[168] - elements[0] == 8192
    assert slot_bytes(np.array([40]), np.array([False])).tolist() == [48]
    assert slots_per_span(5, noscan=False) == 168


def test_slot_bytes_round_up_with_header_and_to_whole_pages():
    sizes = np.array([1, 24, 25, 512, 513, 1024, 32_760, 32_761, 32_769])
    assert slot_bytes(sizes, np.array([True])).tolist() == [8, 24, 32, 512, 576, 1024, 32_768, 32_768, 40_960]
    assert slot_bytes(sizes, np.array([False])).tolist() == [8, 24, 32, 512, 576, 1152, 32_768, 32_768, 40_960]
