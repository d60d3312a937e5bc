"""Are physical frames given out once, aligned, and as evenly or unevenly as chance would?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.memory.frames import FrameSource, pool_bits, scramble


@pytest.mark.parametrize("bits", range(15))
def test_scramble_is_a_permutation(bits):
    key = np.random.default_rng(bits).integers(0, 1 << 62, 8)
    assert sorted(scramble(np.arange(1 << bits), bits, key).tolist()) == list(range(1 << bits))


@given(st.integers(0, 1 << 30))
def test_a_pool_is_the_next_power_of_two_above_twice_what_is_used(used):
    size = 1 << pool_bits(used)
    assert size >= max(2 * used, 512)
    if used > 1 << 17:
        assert size < 4 * used
    else:
        assert size <= 1 << 18


def all_small_frames(source, counts):
    """Every 4 KiB frame that is given out, the parts of larger ones too."""
    parts = []
    for node, three in counts.items():
        for page_class, count in enumerate(three):
            frames = source.take(page_class, np.full(count, node, np.int16))
            parts.append((frames[:, None] << 9 * page_class | np.arange(1 << 9 * page_class)).ravel())
            assert (frames >> source.node_shift - 6 - 9 * page_class == node).all()
    return np.concatenate(parts)


few = st.tuples(st.integers(0, 1500), st.integers(0, 6), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 20), few, min_size=1, max_size=3), st.integers(0, 1 << 60))
def test_no_frame_is_given_out_twice(counts, seed):
    frames = all_small_frames(FrameSource(counts, seed), counts)
    assert len(np.unique(frames)) == len(frames) == sum(a + 512 * b + (c << 18) for a, b, c in counts.values())


def test_the_same_seed_gives_the_same_frames_and_another_seed_others():
    nodes = np.tile(np.array([0, 1], np.int16), 500)

    def frames(seed):
        return FrameSource({0: (500, 0, 0), 1: (500, 0, 0)}, seed).take(0, nodes).tolist()

    assert frames(1) == frames(1)
    assert len(set(frames(1)) & set(frames(2))) < 200  # 1000 out of 2 x 8192: 61 expected
    one = np.array(frames(1))
    assert (one[0::2] != one[1::2] - (1 << pool_bits(500))).mean() > 0.95  # nodes do not repeat each other


@pytest.mark.parametrize(("pages", "colours"), [(256, 16), (256, 64), (2000, 16)])
def test_cache_sets_fill_as_unevenly_as_on_a_host_with_free_memory_in_plenty(pages, colours):
    # drawn with replacement, a colour's pages have variance n/c (1 - 1/c); from a pool of 16 times as many, 1/16 less
    nodes = np.zeros(pages, np.int16)
    variances = [
        np.bincount(FrameSource({0: (pages, 0, 0)}, seed).take(0, nodes) % colours, minlength=colours).var()
        for seed in range(400)
    ]
    pool = 1 << pool_bits(pages)
    expected = pages / colours * (1 - 1 / colours) * (pool - pages) / (pool - 1)
    # a mean of 400 variances of c colours has a relative standard error near sqrt(2 / (c - 1) / 400)
    assert np.mean(variances) == pytest.approx(expected, rel=4 * (2 / (colours - 1) / 400) ** 0.5)
    assert (pool - pages) / (pool - 1) > 0.93


def test_every_frame_of_the_pool_is_equally_likely():
    pages, pool = 100, 1 << pool_bits(100)
    hits = np.zeros(pool, np.int64)
    for seed in range(2000):
        hits[FrameSource({0: (pages, 0, 0)}, seed).take(0, np.zeros(pages, np.int16))] += 1
    mean = 2000 * pages / pool
    chi_squared = ((hits - mean) ** 2 / mean).sum()
    assert abs(chi_squared - pool) < 5 * (2 * pool) ** 0.5


def test_huge_frames_are_drawn_at_random_among_aligned_ones():
    frames = FrameSource({0: (0, 64, 0)}, 3).take(1, np.zeros(64, np.int16))
    assert (np.diff(frames) != 1).sum() > 50
    assert frames.max() < 1 << pool_bits(64 * 512) - 9
