"""Physical frames: which ones a node gives out, in the order of a long-running host's free list.

Frames come in seeded random order from a pool larger than what is asked for, so that cache sets and banks fill as
unevenly as they do on a host whose free memory has been shuffled by years of use. (Assumed: buddy allocators keep some
runs of neighbouring frames; how many is not published for the machines modelled.)
"""

import numpy as np

from numasim.memory.pages import GIANT, HUGE, PAGE_SHIFT, SMALL, IntArray, NodeArray

LINES_PER_FRAME_SHIFT = 6
_MIN_BITS = 9
_WIDE_FRAMES = 1 << 18
_CHUNK = 1 << 20


def pool_bits(frames_used: int) -> int:
    """log2 of the 4 KiB frames a node's pool holds when `frames_used` of them are in use.

    At least twice what is used, and 2 MiB. Below 1 GiB the pool is 16 times what is used: drawn from only twice as
    many, the number of pages a cache set gets has half the variance it has on a host with plenty of free memory.
    """
    wanted = max(2 * frames_used, min(16 * frames_used, _WIDE_FRAMES), 1 << _MIN_BITS)
    return (wanted - 1).bit_length()


class FrameSource:
    """Gives out the frames of all nodes. 1 GiB frames are aligned, then 2 MiB frames, then 4 KiB ones around them.

    counts: by node, the number of 4 KiB, 2 MiB and 1 GiB frames that will be asked for. `node_shift` is the number of
    line-address bits of a node. Frame numbers are machine-wide, in units of their size: 4 KiB frame f of node n is
    n << (node_shift - 6) | f. The same seed, node and counts give the same frames.

    guest_bits: where they are a virtual machine's, log2 of the frames it has of a node. The upper half of a node's
    lines is then for its host's page tables: of four levels, each with eight bytes for 2 << guest_bits frames.
    """

    def __init__(self, counts: dict[int, tuple[int, int, int]], seed: int, guest_bits: int = 0) -> None:
        used = max(sum(n << 9 * page_class for page_class, n in enumerate(three)) for three in counts.values())
        self._bits = pool_bits(used)
        self.node_shift = self._bits + LINES_PER_FRAME_SHIFT
        if guest_bits:
            self.node_shift = max(self.node_shift, guest_bits) + 1
        self._pools = {node: self._draw_node(node, three, seed) for node, three in counts.items()}
        self._next = {node: [0, 0, 0] for node in counts}

    def take(self, page_class: int, nodes: NodeArray) -> IntArray:
        """The next free frames, one on each of `nodes`, in the unit of the page class."""
        out = np.empty(len(nodes), np.int64)
        for node in np.unique(nodes).tolist():
            mine = nodes == node
            count, first = int(np.count_nonzero(mine)), self._next[node][page_class]
            self._next[node][page_class] += count
            frames = self._pools[node][page_class][first : first + count]
            out[mine] = frames | node << (self.node_shift - LINES_PER_FRAME_SHIFT - 9 * page_class)
        return out

    def _draw_node(self, node: int, counts: tuple[int, int, int], seed: int) -> tuple[IntArray, IntArray, IntArray]:
        """4 KiB, 2 MiB and 1 GiB frames of one node, in the order they will be given out."""
        free = np.ones(1 << (self._bits - 9), np.bool_)  # by 2 MiB frame: not part of a larger page
        pools = []
        for page_class in (GIANT, HUGE, SMALL):
            rng = np.random.Generator(np.random.PCG64([seed, node, page_class]))
            unit = 9 * (page_class - HUGE)  # log2 of 2 MiB frames a page, or of pages a 2 MiB frame when negative
            pool = _draw(counts[page_class], self._bits - 9 * page_class, rng, free, unit)
            pools.append(pool)
            if page_class == HUGE:
                free[pool] = False
            elif page_class == GIANT:
                free.reshape(-1, 1 << min(9, self._bits - 9))[pool] = False
        small, huge, giant = reversed(pools)
        return small, huge, giant


def _draw(count: int, bits: int, rng: np.random.Generator, free: np.ndarray, unit: int) -> IntArray:
    """The first `count` numbers below 2**bits, in random order, whose 2 MiB frame is free."""
    key = rng.integers(0, 1 << 62, 8)
    out = np.empty(count, np.int64)
    done = tried = 0
    while done < count:
        step = min(_CHUNK, 2 * (count - done) + 64, (1 << bits) - tried)
        frames = scramble(np.arange(tried, tried + step), bits, key)
        frames = frames[free[frames << unit if unit >= 0 else frames >> -unit]][: count - done]
        out[done : done + len(frames)] = frames
        done, tried = done + len(frames), tried + step
    return out


def scramble(numbers: IntArray, bits: int, key: IntArray) -> IntArray:
    """A keyed permutation of 0 .. 2**bits - 1, without ever holding it: multiply, add and xor-shift, four times.

    Each step is invertible modulo 2**bits. key: 8 random integers. A shuffled array would take 8 bytes a frame.
    """
    mask, half = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    x = numbers.astype(np.uint64)
    for step in range(4):
        factor, addend = np.uint64(int(key[2 * step]) | 1), np.uint64(int(key[2 * step + 1]))
        x = (x * factor + addend) & mask
        x ^= x >> half
    return x.astype(np.int64)


assert PAGE_SHIFT == (12, 21, 30)  # the arithmetic above counts levels of 9 bits
