"""Where do objects lie? Every allocator but Go's (test_allocators_go), against plain arithmetic and real glibc."""

import ctypes
import ctypes.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.memory import ALLOCATORS, allocate, check_count
from numasim.memory.go_classes import slot_bytes
from numasim.memory.malloc import chunk_bytes


def check_no_overlap(offsets, sizes, total):
    order = np.argsort(offsets)
    starts, ends = offsets[order], offsets[order] + sizes[order]
    assert starts[0] >= 0
    assert (ends[:-1] <= starts[1:]).all()
    assert ends[-1] <= total


size_lists = st.lists(
    st.one_of(st.integers(1, 200), st.integers(1, 3000), st.integers(1, 300_000)), min_size=1, max_size=200
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(ALLOCATORS)), size_lists, st.integers(0, 1 << 30), st.data())
def test_no_two_objects_overlap_and_the_answer_is_always_the_same(kind, sizes, seed, data):
    noscan = data.draw(st.one_of(st.booleans(), st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
    offsets, total = allocate(kind, sizes, seed, noscan=noscan)
    assert offsets.dtype == np.int64
    check_no_overlap(offsets, np.array(sizes), total)
    again = allocate(kind, np.array(sizes), seed, noscan=noscan)
    assert again.total == total
    assert np.array_equal(again.offsets, offsets)


# ---- bump ---------------------------------------------------------------------------------------------------------


@given(size_lists, st.sampled_from([1, 8, 16, 64, 4096]))
def test_bump_is_a_pointer_that_moves_up(sizes, align):
    pointer, expected = 0, []
    for size in sizes:
        expected.append(pointer)
        pointer = -(-(pointer + size) // align) * align
    offsets, total = allocate("bump", sizes, align=align)
    assert offsets.tolist() == expected
    assert total == pointer


def test_bump_takes_one_size_and_a_count():
    assert allocate("bump", 40, count=3).offsets.tolist() == [0, 40, 80]
    assert allocate("bump", 144, count=3, align=64).offsets.tolist() == [0, 192, 384]


def test_onnode_starts_every_object_in_the_same_cache_sets():
    offsets, total = allocate("onnode", [40, 4096, 5000, 1])
    assert offsets.tolist() == [0, 4096, 8192, 16384]
    assert total == 20480


# ---- glibc --------------------------------------------------------------------------------------------------------


def test_malloc_gives_the_pointers_glibc_gave():
    # C program on Debian 12, glibc 2.36: offset of each pointer from the start of the heap
    sizes = [1, 24, 25, 40, 8, 100, 1000, 131000, 48, 24, 5000, 130000, 16]
    seen = [672, 704, 736, 784, 832, 864, 976, 1984, 132992, 133056, 133088, 138096, 268112]
    assert allocate("malloc", sizes).offsets.tolist() == seen


def test_malloc_maps_large_requests_apart_in_whole_pages():
    # the same program: malloc_usable_size of 131064 and 200000 bytes was 135152 and 200688, 16 less than their mappings
    offsets, total = allocate("malloc", [16, 131_064, 16, 200_000, 16])
    assert offsets[[0, 2, 4]].tolist() == [672, 704, 736]
    assert offsets[[1, 3]].tolist() == [4096 + 16, 4096 + 135_168 + 16]
    assert total == 4096 + 135_168 + 200_704


def test_chunk_sizes_are_those_of_the_libc_that_runs_this():
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    if not hasattr(libc, "gnu_get_libc_version"):
        pytest.skip("not glibc")
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.malloc_usable_size.restype = ctypes.c_size_t
    libc.malloc_usable_size.argtypes = libc.free.argtypes = [ctypes.c_void_p]
    wrong = []
    for size in [*range(1, 300), 1000, 4096, 9999, 65_536]:
        pointer = libc.malloc(size)
        usable = libc.malloc_usable_size(pointer)
        libc.free(pointer)
        # a chunk taken from a free list may be 16 bytes larger, when the rest would be too small for a chunk of its own
        if usable + 8 - int(chunk_bytes(np.array([size]))[0]) not in (0, 16):
            wrong.append((size, usable))
    assert not wrong


# ---- a heap after churn -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(size_lists, st.floats(0, 0.95), st.integers(0, 99))
def test_fragmented_objects_lie_in_slots_of_their_class(sizes, occupied, seed):
    offsets, total = allocate("fragmented", sizes, seed, occupied=occupied, noscan=True)
    check_no_overlap(offsets, np.array(sizes), total)
    assert total % 8192 == 0
    assert total >= slot_bytes(np.array(sizes), np.array([True])).sum()


def test_holes_are_as_many_as_the_occupancy_leaves_and_independent():
    count, occupied = 200_000, 0.75
    offsets, total = allocate("fragmented", 64, 3, count=count, occupied=occupied, noscan=True)
    slots = total / 64
    assert count / slots == pytest.approx(1 - occupied, abs=5 * (occupied * (1 - occupied) / slots) ** 0.5)
    # inside a span the gap to the next hole is geometric: mean 1 / (1 - occupied), a quarter of them 1
    gaps = np.diff(offsets)[np.diff(offsets >> 13) == 0] // 64
    assert (gaps > 0).all()
    assert (gaps == 1).mean() == pytest.approx(0.25, abs=0.01)
    # a span of 128 slots has 32 holes; then another one, anywhere
    jumps = np.flatnonzero(np.diff(offsets >> 13))
    assert len(jumps) == pytest.approx(count / 32, rel=0.02)
    assert (np.abs(np.diff(offsets >> 13)[jumps]) > 10).mean() > 0.95


def test_an_unoccupied_heap_is_dense_and_seeds_differ():
    assert allocate("fragmented", 64, 1, count=1280, occupied=0.0, noscan=True).total == 1280 * 64
    assert (
        allocate("fragmented", 48, 1, count=99).offsets.tolist()
        != allocate("fragmented", 48, 2, count=99).offsets.tolist()
    )


# ---- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        ("bmp", 8, {"count": 1}),
        ("bump", 8, {"count": 10**12}),
        ("malloc", 8, {"count": 0}),
        ("malloc", [], {}),
        ("bump", [0], {}),
        ("bump", [-5, 8], {}),
        ("bump", [2.5], {}),
        ("bump", 10**30, {"count": 2}),
        ("bump", 2**44, {"count": 2}),
        ("onnode", 1 << 35, {"count": 1000}),
        ("bump", 8, {"count": 1, "align": 24}),
        ("size_class", 8, {"count": 1, "align": 64}),
        ("fragmented", 8, {"count": 1, "occupied": 1.0}),
        ("fragmented", 8, {"count": 1, "occupied": float("nan")}),
        ("size_class", [8, 8], {"noscan": [True] * 3}),
    ],
)
def test_impossible_requests_are_a_users_error_in_one_line(kind, sizes, options):
    with pytest.raises(UserError) as error:
        allocate(kind, sizes, **options)
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)


def test_counts_are_checked_before_anything_is_made():
    assert check_count(5.0) == 5
    for count in (0, 1.5, 1e12, float("nan"), float("inf")):
        with pytest.raises(UserError, match="expected 1 to"):
            check_count(count, "elements")
