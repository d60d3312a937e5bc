"""Does a run need more memory the longer it is, or an access more time the more cores there are?"""

import math

import pytest

from benchmarks.cases import KIB, MIB
from benchmarks.growth import cost_by_cores, peak_rss_bytes


@pytest.mark.parametrize("size_bytes", [16 * KIB, 8 * MIB], ids=["16 KiB", "8 MiB"])
def test_memory_does_not_grow_with_the_length_of_a_run(size_bytes):
    """A hundred times as many accesses, of a lap that is one chunk of records and of one that is several."""
    short, long = (peak_rss_bytes(size_bytes, accesses) for accesses in (1_000_000, 100_000_000))
    assert long <= 1.2 * short


def test_cost_grows_no_faster_than_the_logarithm_of_cores():
    """From n to m cores by less than log2(2 m) / log2(2 n)."""
    cost = cost_by_cores((1, 8, 72))
    for few, many in ((1, 8), (8, 72), (1, 72)):
        assert cost[many] / cost[few] <= math.log2(2 * many) / math.log2(2 * few)
