"""What lies beyond L2: the L3's size, policy and latency, and the memory's, all from chases of many sizes.

How many loads of a chase find their line in which cache hangs on sizes and policies alone; given that, its mean latency
is linear in the latencies of L3 and memory. So each size and policy is simulated once, and the two latencies that suit
it best are solved for. At last they are fitted by simulation, which also tells how sure they are.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from numasim.calibration.host_aims import Aim, of_size, pick
from numasim.calibration.host_fit import ONE_SIGMA, HostFit, Values
from numasim.calibration.host_twins import HostTwins
from numasim.calibration.values import changed, value_of
from numasim.machine.model import L3

BEYOND = 4  # a chase through so many times the L3 is one through memory
INSIDE = 0.7  # one through so much of an L3 stays in it
MOST_RUNS, MOST_TURNS = 9, 4
POLICIES, OF_L2 = ("lru", "random"), ("lru", "tree-plru", "rrip", "random")
LOOKUP, CONTROLLER, SIZE = "l3.lookup_ns", "fabric.controller_ns", "l3.size_bytes"
MOST_NS = np.array([100.0, 500.0])  # of these two latencies
LIKELY_NS = 10.0  # they are known to themselves, or so much if they are less, before any chase is looked at


def outer(fit: HostFit) -> None:
    """The L3, of which a guest or a host with neighbours may have a part only, and the memory's latency."""
    every = chases(fit, 1.1 * fit.machine.l2.size_bytes, 1 << 50)
    near = near_of(fit, every)
    if len(near) > 2:
        _share(fit, near)
    elif every:
        for _ in range(2):
            secant(fit, CONTROLLER, every[-1])
    latencies(fit)


def latencies(fit: HostFit) -> None:
    """The latencies of L3 and memory, by chases that tell nothing else."""
    every = chases(fit, 1.1 * fit.machine.l2.size_bytes, 1 << 50)
    if every:
        bounds = {CONTROLLER: (0.0, float(MOST_NS[1]))}
        if len(near_of(fit, every)) > 2:
            bounds[LOOKUP] = (0.0, float(MOST_NS[0]))
        fit.least_squares(bounds, _levels(fit, every))


def near_of(fit: HostFit, every: list[Aim]) -> list[Aim]:
    """Chases of which the L3 may hold some."""
    return some([aim for aim in every if int(aim.keys["size"]) < BEYOND * fit.l3.size_bytes])


def _share(fit: HostFit, near: Sequence[Aim]) -> None:
    """How much of the L3 there is, its policy, and L2's policy."""
    l2 = fit.machine.l2.size_bytes
    parts, middle = _parts(fit.l3, l2), pick(fit.aims, "chase", of_size(0.5 * l2, 4 * l2))
    sizes = [{**part, "l3.policy": policy} for policy, part in product(POLICIES, parts[::4])]
    solved(fit, sizes, near)
    for _ in range(MOST_TURNS):  # what L2 keeps decides what the L3 sees, and the other way round
        before = fit.machine.l2.policy, fit.machine.l3.policy, fit.machine.l3.size_bytes
        solved(fit, [{"l2.policy": policy} for policy in OF_L2], [*middle, *near[-2:]])
        now = next(k for k, part in enumerate(parts) if part[SIZE] == fit.machine.l3.size_bytes)
        around = parts[max(0, now - 4) : now + 5]
        others = dict.fromkeys((fit.machine.l3.policy, "rrip"))
        sizes = [{**part, "l3.policy": policy} for policy, part in product(others, around)]
        costs = solved(fit, sizes, near)
        if before == (fit.machine.l2.policy, fit.machine.l3.policy, fit.machine.l3.size_bytes):
            break
    best = float(fit.machine.l3.size_bytes)
    alike = [float(sizes[k][SIZE]) for k, cost in enumerate(costs) if cost <= min(costs) + ONE_SIGMA]
    step = best / fit.machine.l3.ways  # half of it lies between two sizes and this one
    error = max(step / 2, *(abs(size - best) for size in alike))
    fit.decided(SIZE, float(parts[-1][SIZE]), float(parts[0][SIZE]), near, error)


def chases(fit: HostFit, low: float, high: float) -> list[Aim]:
    """Chases of such sizes, the smallest first: in 2 MiB pages, or in small ones where a host has no others."""
    found = pick(fit.aims, "chase", of_size(low, high, "2m")) or pick(fit.aims, "chase", of_size(low, high))
    return sorted(found, key=lambda aim: int(aim.keys["size"]))


def solved(fit: HostFit, candidates: Sequence[Values], chosen: Sequence[Aim]) -> list[float]:
    """Take the best of some candidates, each with the latencies of L3 and memory that suit it best.

    Returns how badly each fits, as HostFit.misfit does.
    """
    measured = np.array([aim.value for aim in chosen])
    sigma = np.array([aim.sigma for aim in chosen])
    now = np.array([value_of(fit.machine, LOOKUP), value_of(fit.machine, CONTROLLER)])
    costs, moves = [], []
    for values in candidates:
        twins = HostTwins(changed(fit.machine, values))
        seen = [twins.values(aim.one) for aim in chosen]
        fit.evaluations += len(chosen)
        fit.report(*fit.stage)
        off = measured - np.array([one["latency_ns"] for one in seen])
        slope = np.array([[one["l3_share"], one["memory_share"]] for one in seen])
        move, still = np.zeros(2), np.diag(1 / np.maximum(now, LIKELY_NS))
        for turn in range(40):  # least squares, again and again with less weight for what does not fit
            z = (off - slope @ move) / sigma
            weight = 1 / (sigma * np.sqrt(1 + z**2))
            # at last, what chases tell next to nothing of stays where it is; not sooner: far off, all weights are low
            known = still if turn >= 20 else 0 * still
            weighed = np.concatenate([slope * weight[:, None], known]), np.concatenate([off * weight, np.zeros(2)])
            move = np.clip(np.linalg.lstsq(*weighed, rcond=None)[0], -now, MOST_NS - now)
        costs.append(float(np.sum(np.log1p(((off - slope @ move) / sigma) ** 2))))
        moves.append(move)
    best = int(np.argmin(costs))
    latencies = {
        key: round(value_of(fit.machine, key) + float(more), 3)
        for key, more in zip((LOOKUP, CONTROLLER), moves[best], strict=True)
    }
    fit.machine = changed(fit.machine, {**candidates[best], **latencies})
    fit.kinds |= dict.fromkeys(candidates[best], chosen)
    return costs


def _levels(fit: HostFit, every: list[Aim]) -> list[Aim]:
    """Chases that stay in the L3, and through so much more that it holds nothing of it: not those in between, which
    tell its size."""
    l3 = fit.machine.l3
    # while a chase through so much misses, others bring as much again and again
    others = l3.neighbours_gbps * fit.machine.fabric.controller_ns / 64
    inside = [aim for aim in every if int(aim.keys["size"]) <= INSIDE * l3.size_bytes / (1 + others)]
    beyond = [aim for aim in every if int(aim.keys["size"]) >= BEYOND * fit.machine.l3.size_bytes]
    return [*inside[-3:], *(beyond or every[-1:])]


def some(found: list[Aim]) -> list[Aim]:
    """MOST_RUNS of them at most, evenly spread: each is simulated some hundred times."""
    if len(found) <= MOST_RUNS:
        return found
    return [found[round(k * (len(found) - 1) / (MOST_RUNS - 1))] for k in range(MOST_RUNS)]


def _parts(l3: L3, least: int) -> list[Values]:
    """An L3 of every size from what is told down to `least` bytes: fewer ways, or half the sets and fewer ways."""
    found: list[Values] = []
    sets = l3.size_bytes // (l3.ways * l3.slices * 64)
    for ways in range(l3.ways, l3.ways // 2, -1):
        for halved in range(sets.bit_length()):
            found.append({"l3.ways": ways, "l3.size_bytes": ways * (sets >> halved) * l3.slices * 64})
    fitting = [part for part in found if part["l3.size_bytes"] >= least]
    return sorted(fitting, key=lambda part: -int(part["l3.size_bytes"])) or found[:1]


def secant(fit: HostFit, key: str, aim: Aim) -> None:
    """Move a latency by what one run deviates, twice: the run's latency has it once, or less where caches hit."""
    for _ in range(2):
        now = fit.residual(fit.machine, [aim])[0] * aim.sigma
        fit.machine = changed(fit.machine, {key: round(max(0.0, value_of(fit.machine, key) - float(now)), 3)})
