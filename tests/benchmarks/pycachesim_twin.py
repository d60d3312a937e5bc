"""pycachesim with the caches of icx-8360y-2s: what counting hits and misses alone costs, in compiled C.

It knows no time, pages, sharing or queues: the lower bound a timing simulator is held against. Its L3 is filled on a
miss (a victim cache of its own would be slower), it takes any number of sets, so the geometry is the model's exactly.
"""

import time

from cachesim import Cache, CacheSimulator, MainMemory

from benchmarks.cases import CASES, LINE_BYTES, MIB, Case, addresses

ACCESSES = 2_000_000


def build() -> CacheSimulator:
    """Empty caches: 48 KiB of 12 ways, 1.25 MiB of 20, 54 MiB of 12, all LRU, write-back."""
    memory = MainMemory()
    l3 = Cache("L3", 54 * MIB // LINE_BYTES // 12, 12, LINE_BYTES, "LRU")
    l2 = Cache("L2", 1280 * 1024 // LINE_BYTES // 20, 20, LINE_BYTES, "LRU", load_from=l3, store_to=l3)
    l1 = Cache("L1", 48 * 1024 // LINE_BYTES // 12, 12, LINE_BYTES, "LRU", load_from=l2, store_to=l2)
    memory.load_to(l3)
    memory.store_from(l3)
    return CacheSimulator(l1, memory)


def rate(case: Case, accesses: int = ACCESSES) -> float:
    """Accesses a CPU second by its fastest call, one `load` of a list of ints that was made before; caches are warm."""
    trace, caches = addresses(case, accesses), build()
    caches.load(trace[: min(case.lines, accesses)])
    begin = time.process_time()
    caches.load(trace)
    return accesses / (time.process_time() - begin)


if __name__ == "__main__":
    for each in CASES:
        if each.cores == 1:
            print(f"{each.name:20} {rate(each) / 1e6:8.2f} M accesses a CPU second")
