"""What full load decides: how many misses a core has under way, and how well memory's channels are used.

By Little's law what is under way is bandwidth x latency. A bandwidth alone says one of the two: where the cores can
fill the channels it says how well those are used, and the number of misses stays what it was thought to be; where they
cannot, it says how many misses they have. A loaded curve's end, a bandwidth and a latency, says both.

Where dies reach memory over links of their own (EPYC) and nothing tells what a line occupies there, that is the way's
use. Elsewhere it is how well channels are used: `rank_switch_ns`, the time between bursts of different ranks: no sheet
has it, and what else a controller loses between bursts is fitted with it.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from numasim.calibration import twins
from numasim.calibration.knobs import LOAD, LOAD_BOUNDS, QUEUE, Knob
from numasim.calibration.published import Cell, Curve
from numasim.calibration.twins import Level
from numasim.calibration.values import changed, resourced, value_of
from numasim.machine import Machine
from numasim.machine.checks import MAX_OUTSTANDING

SWITCH, BUFFERS = LOAD
WELL = 4.0  # misfit of a curve, a sum of four squares, up to which it is met; another fit has to be as much better
FOLLOWS = ("prefetch.ip_stride_distance", "prefetch.ip_stride_pages")
MOST_ENTRIES = 1024  # of a read queue
LEAST = 2  # misses under way that a core is given at least
LATENCY = 0.08  # relative standard error of the latency at the peak, which the last points of a curve scatter by
BELOW = 0.05  # the same, below the knee
VAGUE = 0.5  # the same, of the use that relatives show
TWO_THIRDS, STEPS = 0.67, 4
BANDWIDTH = 0.017  # the same, of a bandwidth
KNEE = 0.9  # of the peak: the level next below it shows best how evenly channels are used
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the time between ranks that alone would explain the bandwidth
LOADS, BELOW_LOADS = 1000, 2500  # of the chaser, a level; below the knee queues take longer to fill
CLOSE, EXACT = 0.004, 0.001  # relative, of a bandwidth that is met; and of one that is searched for


class Known(NamedTuple):
    """What was measured.

    local: cells of a node's own bandwidth, with their orbits' means and standard errors in GB/s.  curve: None if none
    was, or not to its end.  use: key of what stands for how well the way to memory is used.
    """

    local: Sequence[tuple[Cell, float, float]]
    curve: Curve | None
    use: str = SWITCH


class Saturated(NamedTuple):
    """The machine fitted, the standard error of each value that was turned, how many cells were simulated, and of each
    value, whether its search ended inside its range. (A time between ranks of 0 does: channels have no better use.)
    misfit: of a whole curve's end, a sum of squares; 0 without one."""

    machine: Machine
    errors: dict[str, float]
    evaluations: int
    settled: dict[str, bool]
    misfit: float = 0.0


def knob(key: str, cells: list[Cell]) -> Knob:
    """A value that full load decides."""
    return Knob(key, *LOAD_BOUNDS[key], cells, "bandwidth")


def outstanding(machine: Machine) -> int:
    """The misses a core has under way at most."""
    return machine.core.fill_buffers + machine.core.prefetch_buffers


def with_outstanding(machine: Machine, misses: int) -> Machine:
    """The machine with so many; fill buffers are the family's as long as there are enough. A prefetcher that runs ahead
    of an instruction's strides goes as far as there are buffers, as the whole of them is what full load shows."""
    fills = min(machine.core.fill_buffers, misses)
    changes: dict[str, float] = {"core.fill_buffers": fills, "core.prefetch_buffers": misses - fills}
    if _runs_ahead(machine):
        changes |= {"prefetch.ip_stride_distance": max(misses - fills, 1), "prefetch.ip_stride_pages": True}
    return changed(machine, changes)


def _runs_ahead(machine: Machine) -> bool:
    """Does IP stride ask for more than the next stride? One that does not is left as it is."""
    return machine.prefetch.ip_stride and machine.prefetch.ip_stride_distance > 1


def search(machine: Machine, known: Known, told: Callable[[], None]) -> Saturated:
    """The misses under way and the use of the channels that show what was measured.

    How many reads a controller chooses from is the family's. Where a whole curve is met badly with that, half as many
    are tried, then twice as many: the fewer there are, the less often one suits the bus and the banks as they are."""
    found = _Search(machine, known, told).run()
    if found.misfit <= WELL or QUEUE not in machine.values():
        return found
    own, evaluations = int(value_of(machine, QUEUE)), found.evaluations
    for entries in sorted({max(1, own // 2), min(2 * own, MOST_ENTRIES)} - {own}):
        other = _Search(changed(machine, {QUEUE: entries}), known, told).run()
        evaluations += other.evaluations
        if other.misfit <= found.misfit - WELL:
            said = f"fitted: with {own}, as before, the loaded curve is met worse"
            return other._replace(machine=resourced(other.machine, {QUEUE: said}), evaluations=evaluations)
    return found._replace(evaluations=evaluations)


class _Search:
    """A search under way."""

    def __init__(self, machine: Machine, known: Known, told: Callable[[], None]) -> None:
        self.start, self.known, self.told = machine, known, told
        self.use, (self.low, self.high) = known.use, LOAD_BOUNDS[known.use]
        self.evaluations = 0
        self.ends: dict[tuple[int, float], Level] = {}
        self.misfits: dict[tuple[int, float], float] = {}
        self.most = False  # did the search for the misses that counts end at the most there may be?

    def run(self) -> Saturated:
        curve = self.known.curve
        return self.by_end(curve) if curve is not None and curve.ended else self.by_bandwidth(curve)

    def by_bandwidth(self, lower: Curve | None) -> Saturated:
        """From a bandwidth, or a curve's lower levels, or both: one value is turned."""
        misses, before = outstanding(self.start), value_of(self.start, self.use)
        if not self.known.local:
            assert lower is not None  # else nothing decides anything
            if not self.ranked():
                return self.finish(misses, before, ())  # lower levels say nothing of the misses
            return self.finish(misses, self.eased(misses, lower), (self.use,))
        if self.can_fill(misses):
            use = self.used(misses) if lower is None else self.eased(misses, lower)
            return self.finish(misses, use, (self.use,))
        if not self.ranked() or self.ratio(self.possible(2 * misses), before) >= 1 - CLOSE:
            return self.finish(self.enough(misses, before), before, (BUFFERS,))
        found = self.finish(self.enough(misses, self.low), self.low, (BUFFERS,))
        why = f"assumed: as well as can be; with {before:g} twice the misses show less than was measured"
        return found._replace(machine=resourced(found.machine, {self.use: why}))

    def by_end(self, curve: Curve) -> Saturated:
        """From a curve that goes to full load: both values are turned."""
        t = self.start.topology
        cores = t.cores // t.sockets * curve.sockets
        misses = self.possible(curve.peak_gbps * curve.full_ns / 64 / cores)
        if not self.ranked():
            misses = self.crowded(misses, self.low)
            return self.finish(misses, self.low, (BUFFERS,))._replace(misfit=self.misfit(misses, self.low))
        if not self.can_fill(misses):
            misses = self.enough(misses, self.low)
        most = self.used(misses)
        uses = [self.low + share * (most - self.low) for share in SHARES]
        best = min((self.both(misses, use) for use in uses), key=lambda one: one[0])
        while True:  # with another number of misses, another use shows the bandwidth
            again = self.both(best[1], self.used(best[1]))
            if again[0] >= best[0]:
                break
            best = again
        if curve.threads > 1:
            return self.beside(best)
        _, misses, use, self.most = best
        return self.finish(misses, use, (self.use, BUFFERS))._replace(misfit=self.misfit(misses, use))

    def beside(self, best: tuple[float, int, float, bool]) -> Saturated:
        """From what fits a curve best whose chaser shares its core: its latency is that of the core's buffers, too, and
        says little of the misses. They stay as they were, if that fits nearly as well."""
        before = outstanding(self.start)
        use = self.used(before)
        if self.misfit(before, use) < best[0] + WELL:
            found = self.finish(before, use, (self.use,))
            return found._replace(misfit=self.misfit(before, use))
        if best[0] > WELL:  # latency does not rise with the misses all the way: begin with fewer, too
            fewer = self.possible(before / 2)
            use = self.used(fewer)
            near = self.near(fewer, use)
            best = min(best, (self.misfit(near, use), near, use, self.most), key=lambda one: one[0])
        misfit, misses, use, self.most = best
        return self.finish(misses, use, (self.use, BUFFERS))._replace(misfit=misfit)

    def both(self, misses: int, use: float) -> tuple[float, int, float, bool]:
        """The number of misses that suits a use best, with the misfit before it."""
        misses = self.near(self.crowded(misses, use), use)
        return self.misfit(misses, use), misses, use, self.most

    def near(self, misses: int, switch: float) -> int:
        """The number of misses near this one that fits everything best."""
        for step in (-1, 1):
            while self.misfit(self.possible(misses + step), switch) < self.misfit(misses, switch):
                misses += step
        return misses

    def eased(self, misses: int, curve: Curve) -> float:
        """What stands for the way's use, by a curve's levels below its knee: beside the bandwidth, if one is known,
        what fits best; else beside what was thought before, the mean of what fits."""
        before = value_of(self.start, self.use)
        most = self.used(misses) if self.known.local else min(max(2 * before, self.low + 1), self.high)
        top = float(curve.gbps[-1])
        levels = [gbps for gbps in (TWO_THIRDS * top, top) if gbps > 0]

        def misfit(use: float) -> float:
            machine = self.at(misses, use)
            prior = self.ratio(misses, use) - 1 if self.known.local else (use / before - 1) if before else use
            total = (prior / (BANDWIDTH if self.known.local else VAGUE)) ** 2
            for gbps in levels:
                shown = twins.level(machine, curve, twins.pause(machine, curve, gbps), LOADS)
                total += ((shown.ns / float(twins.measured_at(curve, shown.gbps)) - 1) / BELOW) ** 2
                self.evaluations += 1
            return total

        steps = [self.low + k / STEPS * (most - self.low) for k in range(STEPS + 1)]
        misfits = [misfit(use) for use in steps]
        if self.known.local:
            return steps[misfits.index(min(misfits))]
        # no bandwidth holds it: several suit the levels alike, and which does best is chance
        likely = [math.exp((min(misfits) - one) / 2) for one in misfits]
        return sum(use * weight for use, weight in zip(steps, likely, strict=True)) / sum(likely)

    def crowded(self, misses: int, switch: float) -> int:
        """So many misses that the latency under full load is the measured one."""
        assert self.known.curve is not None
        ns, seen = self.known.curve.full_ns, dict[int, float]()
        while misses not in seen:
            shown = self.end(misses, switch).ns
            seen[misses] = abs(shown / ns - 1)
            misses = self.possible(misses * ns / shown)
        self.most = misses == MAX_OUTSTANDING
        return min(seen, key=lambda n: seen[n])

    def misfit(self, misses: int, switch: float) -> float:
        """Sum of squares: bandwidth, peak and latency of the curve's end, and the latency below its knee."""
        curve, key = self.known.curve, (misses, round(switch, 4))
        if key in self.misfits:
            return self.misfits[key]
        assert curve is not None
        end, lower = self.end(misses, switch), curve.below(KNEE)
        off = [
            (self.ratio(misses, switch) - 1) / BANDWIDTH,
            (end.gbps / curve.peak_gbps - 1) / BANDWIDTH,
            (end.ns / curve.full_ns - 1) / LATENCY,
        ]
        if len(lower.gbps) and lower.gbps[-1] > 0:
            share = float(lower.gbps[-1]) / curve.peak_gbps
            (below,) = twins.curve(self.at(misses, switch), curve, (share,), BELOW_LOADS)
            self.evaluations += 1
            off.append((below.ns / float(twins.measured_at(lower, below.gbps)) - 1) / BELOW)
        self.misfits[key] = sum(part**2 for part in off)
        return self.misfits[key]

    def possible(self, misses: float) -> int:
        return min(max(round(misses), LEAST), MAX_OUTSTANDING)

    def ranked(self) -> bool:
        """Does what is turned change anything? One rank has no time between ranks."""
        return self.use != SWITCH or self.start.memory["dram"].ranks > 1

    def at(self, misses: int, switch: float) -> Machine:
        value = round(switch, 4) if self.use == SWITCH else round(switch)
        return changed(with_outstanding(self.start, misses), {self.use: value})

    def end(self, misses: int, switch: float) -> Level:
        """The loaded curve's end."""
        assert self.known.curve is not None
        key = (misses, round(switch, 4))
        if key not in self.ends:
            self.told()
            self.evaluations += 1
            self.ends[key] = twins.level(self.at(misses, switch), self.known.curve, 0, LOADS)
        return self.ends[key]

    def ratio(self, misses: int, switch: float) -> float:
        """Simulated bandwidth, of the measured one."""
        if not self.known.local and self.known.curve:
            return self.end(misses, switch).gbps / self.known.curve.peak_gbps
        self.told()
        self.evaluations += len(self.known.local)
        twin = twins.Twins(self.at(misses, switch))
        shown = [twin.value(cell) / mean for cell, mean, _ in self.known.local]
        return sum(shown) / len(shown)

    def can_fill(self, misses: int) -> bool:
        """Do so many misses reach the bandwidth, with channels used as well as they can be?"""
        return self.ranked() and self.ratio(misses, self.low) >= 1 - CLOSE

    def used(self, misses: int) -> float:
        """The time between ranks at which so many misses show the measured bandwidth: by halving and secants."""
        if not self.ranked():
            return value_of(self.start, self.use)
        low, high = self.low, self.high
        above, below = self.ratio(misses, low) - 1, self.ratio(misses, high) - 1
        if above <= 0 or below >= 0:
            return low if above <= 0 else high
        for step in range(12):
            middle = (low + high) / 2 if step % 3 == 2 else low + (high - low) * above / (above - below)
            off = self.ratio(misses, middle) - 1
            if abs(off) < (EXACT if self.use == SWITCH else CLOSE):  # bytes are whole
                return middle
            if off > 0:
                low, above = middle, off
            else:
                high, below = middle, off
        return middle

    def enough(self, misses: int, switch: float) -> int:
        """The fewest misses that reach the bandwidth, where it is they that limit it."""
        tried: dict[int, float] = {}
        while misses not in tried:
            tried[misses] = self.ratio(misses, switch)
            misses = self.possible(misses / tried[misses])
        self.most = misses == MAX_OUTSTANDING
        return min(tried, key=lambda n: abs(tried[n] - 1))

    def finish(self, misses: int, switch: float, turned: Sequence[str]) -> Saturated:
        errors: dict[str, float] = {}
        sigma = min((error / mean for _, mean, error in self.known.local), default=0.02)
        if BUFFERS in turned:
            errors[BUFFERS] = max(0.5, (LATENCY if self.known.curve and self.known.curve.ended else sigma) * misses)
        if self.use in turned and not self.known.local and not (self.known.curve and self.known.curve.ended):
            errors[self.use] = VAGUE * max(switch, value_of(self.start, self.use) / STEPS)
        elif self.use in turned:
            wide = max(0.25 * switch, 0.25)
            slope = (self.ratio(misses, switch + wide) - self.ratio(misses, switch)) / wide
            errors[self.use] = sigma / max(-slope, 1e-3)
        inside = {BUFFERS: LEAST < misses < MAX_OUTSTANDING and not self.most, self.use: switch < self.high}
        settled = {key: inside[key] for key in errors}
        machine = self.at(misses, switch)
        if _runs_ahead(self.start):
            far = "assumed: as far as the prefetch buffers reach"
            machine = resourced(machine, dict.fromkeys(FOLLOWS, far))
        return Saturated(machine, errors, self.evaluations, settled)
