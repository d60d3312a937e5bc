"""Simulated twins of the native benchmark's experiments: the same keys, the same numbers in the same units.

calibration/native/README.md says what the host does in each. What only the operating system decides (page faults,
migration) has no twin; nor have loads of a cache's own bandwidth, which the model does not limit.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numasim.calibration.host_file import Histogram, Keys, Measurement
from numasim.calibration.published import Floats
from numasim.calibration.twins import quiet
from numasim.calibration.values import changed
from numasim.machine import Machine
from numasim.machine.nodes import parse_cpus
from numasim.results.result import Result
from numasim.study.run import run
from numasim.traces.records import MAX_LAG

LINE, PAGE = 64, 4096
PAGES = {"4k": 4096, "2m": 1 << 21, "1g": 1 << 30}
DRAWS = 5  # of the frames of a chase about as large as L2
COUNTED = 40_000  # loads of a chain that count
LOOK_UPS, WARM = 20_000, 60_000  # of a table: done at least, and at most, before what counts and in it
PROGRAMS = ("list", "hash", "tree", "slice")
SHARES = {"l3_share": "LLC-loads", "memory_share": "LLC-load-misses"}
REPORTED = ("fault", "migrate")  # told, but not simulated
Values = dict[str, float]


class HostTwins:
    """What a machine shows in each experiment. A run is made once for each different set of keys."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.runs = 0
        self._known: dict[tuple[object, ...], Values] = {}

    def values(self, one: Measurement) -> Values:
        """The simulated samples by name, in the file's units; {} for an experiment without a twin."""
        twin = TWINS.get(one.experiment)
        if twin is None:
            return {}
        key = (one.experiment, *sorted((k, v) for k, v in one.keys.items() if k not in ("seed", "repetitions", "ms")))
        if key not in self._known:
            self._known[key] = twin(self, one)
        return self._known[key]

    def run(self, workload: str, keys: Keys, **words: Any) -> Result:
        """A run on the CPU, node and pages that the keys name; words go before them."""
        self.runs += 1
        node = int(keys.get("node", -1))
        where: dict[str, Any] = {"physcpubind": str(keys.get("cpu", 0)), "pages": keys.get("pages", "4k")}
        if node >= 0:
            where["membind"] = node
        return run(words.pop("machine", self.machine), workload, **{**where, **words})

    def cached_lines(self, cores: int = 1) -> int:
        """Lines that the L3 of a domain and so many L2s hold."""
        return (self.machine.l3.size_bytes + cores * self.machine.l2.size_bytes) // LINE

    # ---- latencies ----

    def chain(self, keys: Keys, size: int, **words: Any) -> Result:
        """A chain through `size` bytes, after a lap, or after what fills the caches twice."""
        lines = size // int(words.get("every", LINE))
        lead = min(lines, 2 * self.cached_lines() + COUNTED)
        counted = min(max(lines, 4000), COUNTED)
        # what L3 and neighbours make of a chain hangs on how soon it was followed after it was built
        built = lines if self.machine.l3.neighbours_gbps and lead == lines else 0
        return self.run("chains", keys, **{"size": size, "written": built, "lead": lead, "loads": counted, **words})

    def _chase(self, one: Measurement) -> Values:
        """Where L2 is nearly full, what falls out of it hangs on which frames the memory has, on the host anew each
        round: the median of several draws."""
        size, l2 = int(one.keys["size"]), self.machine.l2.size_bytes
        draws = DRAWS if l2 // 2 <= size <= 2 * l2 else 1
        told = [self._told(self.chain(one.keys, size, within=one.keys["within"], seed=1 + k)) for k in range(draws)]
        return {name: statistics.median(values[name] for values in told) for name in told[0]}

    def _told(self, result: Result) -> Values:
        """A load's latency and, which no host tells, the shares of loads that look the L3 up and that go to memory:
        by what they waited there, as prefetches are looked up and fetched, too."""
        fabric = self.machine.fabric
        shares = {name: result.counters[event] / result.access.count for name, event in SHARES.items()}
        waited = result.access.stack_ns
        if self.machine.l3.lookup_ns:
            shares["l3_share"] = waited["l3"] / self.machine.l3.lookup_ns
        if fabric.controller_ns:
            rest = waited["fabric"] - 2 * fabric.mesh_ns * shares["l3_share"]
            shares["memory_share"] = max(0.0, rest) / fabric.controller_ns
        return {"latency_ns": result.access.mean_ns, **shares}

    def _tlb(self, one: Measurement) -> Values:
        count, page = int(one.keys["count"]), PAGES[str(one.keys["pages"])]
        spread = self._told(self.chain(one.keys, count * page, every=page))
        whole = count * LINE if count * LINE < 16 * PAGE else count * LINE // PAGE * PAGE
        within = "all" if whole < 16 * PAGE else "page"
        return {
            **spread,
            "dense_latency_ns": self.chain(one.keys, whole, within=within).access.mean_ns,
        }

    def _several(self, one: Measurement) -> Values:
        size, chains = int(one.keys["size"]), int(one.keys["chains"])
        result = self.chain(one.keys, size, chains=chains)
        return {"step_ns": result.simulated_ns / result.access.count * chains}

    def _stride(self, one: Measurement) -> Values:
        size, stride = int(one.keys["size"]), int(one.keys["stride"])
        lap = size // LINE <= 2 * self.cached_lines()
        words = {"order": "stride", "stride": stride, "size": size, "warmup": int(lap), "accesses": COUNTED}
        return {"latency_ns": self.run("chase", one.keys, **words).access.mean_ns}

    def _split(self, one: Measurement) -> Values:
        """Both within L1, where the model adds `split_cycles` to what an access costs."""
        size = int(one.keys["size"])
        if size > self.machine.l1d.size_bytes:
            return {}
        core = self.machine.core
        aligned = self.chain(one.keys, size).access.mean_ns
        return {"aligned_ns": aligned, "split_ns": aligned + core.split_cycles / core.frequency_ghz}

    def _clock(self, one: Measurement) -> Values:
        return {"core_ghz": self.machine.core.frequency_ghz}

    def _access(self, one: Measurement) -> Values:
        """The distribution of single loads with the stamps' own cost, as a counter of coarse steps shows it."""
        empty, size = one.histograms["empty"], int(one.keys["size"])
        stamp = min(round(stamp_ns(empty) * self.machine.core.frequency_ghz), MAX_LAG)
        result = self.chain(one.keys, size, within=one.keys["within"], stamp=stamp, loads=10 * COUNTED)
        assert result.operation is not None
        ns, upto = result.operation.cdf()
        step_ns = float(one.facts.get("step_ticks", 1)) * empty.unit_ns
        shares = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "p999_ns": 0.999}
        found = {name: counted(ns, upto, step_ns, share) for name, share in shares.items()}
        return {"mean_ns": result.operation.mean_ns, **found}

    # ---- bandwidth ----

    def _bandwidth(self, one: Measurement) -> Values:
        cpus = parse_cpus(str(one.keys["cpus"]), list(range(self.machine.topology.cpus)))
        size, writes = int(one.keys["size"]), not str(one.keys["ratio"]).endswith(":0")
        if size // LINE < 2 * self.cached_lines(len(cpus)):
            return {}
        # stores take memory's time only once the caches are full of them: a lap of what fills them
        lap = min(size, max(4 << 20, 2 * LINE * self.cached_lines(len(cpus)) // len(cpus) // PAGE * PAGE))
        words: dict[str, Any] = {"threads": len(cpus), "physcpubind": ",".join(map(str, cpus)), "warmup": int(writes)}
        words |= {"size": lap if writes else size, "ratio": one.keys["ratio"], "accesses": COUNTED * len(cpus)}
        group = next(iter(self.run("stream", one.keys, **words).groups.values()))
        return {"read_gbps": group.read_gbps, "write_gbps": group.write_gbps}

    def _loaded(self, one: Measurement) -> Values:
        """Where the load's memory is the chaser's."""
        keys = one.keys
        if int(keys["from"]) not in (-1, int(keys["node"])):
            return {}
        cpus = [int(keys["cpu"]), *parse_cpus(str(keys["cpus"]), list(range(self.machine.topology.cpus)))]
        words: dict[str, Any] = {key: keys[key] for key in ("size", "within", "buffer", "delay", "ratio")}
        words |= {"threads": len(cpus), "physcpubind": ",".join(map(str, cpus)), "warmup": 0, "accesses": 10_000}
        groups = self.run("loaded", keys, **words).groups
        load = groups["generators"]
        return {
            "latency_ns": groups["chaser"].access.mean_ns,
            "read_gbps": load.read_gbps,
            "write_gbps": load.write_gbps,
        }

    # ---- core to core ----

    def _pingpong(self, one: Measurement) -> Values:
        """Without timer ticks: while one thread is stopped, the other's attempts are quick, and on a host they fail."""
        both = f"{one.keys['cpu']},{one.keys['other']}"
        machine = changed(self.machine, {"os.tick_hz": 0.0})
        result = self.run("pingpong", one.keys, machine=machine, laps=1, physcpubind=both)
        return {"handover_ns": result.simulated_ns / result.access.count}

    def _c2c(self, one: Measurement) -> Values:
        """As many lines side by side, without the prefetchers, from which the host's wider spacing keeps them."""
        size = int(one.keys["size"]) * LINE // int(one.facts.get("spacing_bytes", 2 * LINE))
        both = f"{one.keys['other']},{one.keys['cpu']}"
        words = {"state": one.keys["state"], "size": size, "laps": 4, "physcpubind": both}
        result = self.run("c2c", one.keys, machine=quiet(self.machine), **words)
        return {"latency_ns": result.groups["reader"].access.mean_ns}

    # ---- programs ----

    def _walk(self, one: Measurement) -> Values:
        length = int(one.keys["length"])
        words = {"layout": "std", "length": length, "order": one.keys["order"], "allocator": one.keys["allocator"]}
        laps = max(1, COUNTED // length)
        result = self.run("list", one.keys, **words, warmup=1, laps=laps)
        return {"operation_ns": result.simulated_ns / laps}

    def _look_up(self, workload: str, words: Mapping[str, Any], one: Measurement) -> Values:
        """Look-ups end to end; before them as many more: as there are items, or WARM."""
        length, keys = int(one.keys["length"]), one.keys
        a_lap = max(LOOK_UPS, min(length, WARM))
        common = {"length": length, "dependent": keys["dependent"], "allocator": keys["allocator"], "lookups": a_lap}
        result = self.run(workload, keys, **common, **words, warmup=1, laps=1)
        return {"operation_ns": result.simulated_ns / a_lap}

    def _hash(self, one: Measurement) -> Values:
        return self._look_up("map", {"layout": "std"}, one)

    def _tree(self, one: Measurement) -> Values:
        return self._look_up("tree", {"order": one.keys["order"]}, one)

    def _slice(self, one: Measurement) -> Values:
        length = int(one.keys["length"])
        cold = length * 8 // LINE > 2 * self.cached_lines()
        words: dict[str, Any] = {"warmup": 0, "accesses": 20 * COUNTED} if cold else {"warmup": 1, "laps": 1}
        result = self.run("slice", one.keys, length=length, **words)
        return {"operation_ns": result.simulated_ns / result.access.count * length}


TWINS: Mapping[str, Callable[[HostTwins, Measurement], Values]] = {
    "clock": HostTwins._clock, "chase": HostTwins._chase, "tlb": HostTwins._tlb, "chains": HostTwins._several,
    "bandwidth": HostTwins._bandwidth, "loaded": HostTwins._loaded, "pingpong": HostTwins._pingpong,
    "c2c": HostTwins._c2c,
    "stride": HostTwins._stride, "split": HostTwins._split, "access": HostTwins._access, "list": HostTwins._walk,
    "hash": HostTwins._hash, "tree": HostTwins._tree, "slice": HostTwins._slice,
}  # fmt: skip


def stamp_ns(empty: Histogram) -> float:
    """What two time stamps with nothing between them cost: the mean of those that were not interrupted."""
    low, high, count = np.array(empty.buckets, float).T
    middle = (low + high) / 2
    median = middle[np.searchsorted(np.cumsum(count), count.sum() / 2)]
    calm = middle <= 3 * max(median, 1.0)
    return float(np.average(middle[calm], weights=count[calm]) * empty.unit_ns)


def counted(ns: Floats, upto: Floats, step_ns: float, share: float) -> float:
    """A quantile of latencies as a counter of steps shows them: whole steps, one more as often as the rest of a step.

    ns, upto [n]: latencies, and the share of all that are not above each.  step_ns: of the counter.  A latency between
    two multiples of the step is counted as the lower or the upper one, in proportion, as it begins anywhere in a step.
    """
    weight = np.diff(upto, prepend=0.0)
    whole = np.floor(ns / step_ns)
    rest = ns / step_ns - whole
    steps = np.concatenate([whole, whole + 1])
    weights = np.concatenate([weight * (1 - rest), weight * rest])
    order = np.argsort(steps, kind="stable")
    reached = np.searchsorted(np.cumsum(weights[order]), share * weights.sum() - 1e-12)
    return float(steps[order][min(reached, len(order) - 1)] * step_ns)
