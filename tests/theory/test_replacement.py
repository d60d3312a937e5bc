"""Do the caches' packed sets do what the policies' textbook forms do? Access by access, and as walks round a set."""

import itertools
import random
from typing import Any

import pytest

from numasim.engine import cache as packed
from numasim.engine import state as st
from numasim.engine.build import cache
from theory import closed_forms as theory
from theory.naive_policies import Lru, NaiveSet, Srrip, TreePlru

WAYS = (1, 2, 3, 4, 8, 11, 12, 15, 16, 20)


class NextPowerTree(TreePlru):
    """The tree of the next power of two, which never turns right into ways that do not exist."""

    def __init__(self, ways: int) -> None:
        super().__init__(ways)
        self.leaves = 1 << (ways - 1).bit_length()

    def victim(self) -> int:
        low, high = 0, self.leaves
        while high - low > 1:
            middle = (low + high) // 2
            right = self.to_right.get((low, high), False) and middle < len(self.lines)
            low, high = (middle, high) if right else (low, middle)
        return low

    def touched(self, way: int, hit: bool) -> None:
        low, high = 0, self.leaves
        while high - low > 1:
            middle = (low + high) // 2
            self.to_right[low, high] = way < middle
            low, high = (low, middle) if way < middle else (middle, high)


NAIVE: dict[str, type[NaiveSet]] = {"lru": Lru, "tree-plru": NextPowerTree, "rrip": Srrip}


def empty(policy: str, sets: int, ways: int, lists: bool = True) -> Any:
    """A cache as the reference scheduler has it, on lists, or as the compiled one, on arrays."""
    made = cache("tested", 1, sets, ways, 1, policy)
    return st.mapped(made, lambda a: a.tolist()) if lists else made


def use(c: Any, line: int, flags: int = 0) -> tuple[bool, int]:
    """Look a line up and bring it if it is not there: (hit, the line that fell out or -1)."""
    s, tag = packed.set_of(c, 0, line), line >> c.bits
    if packed.touch(c, s, tag) >= 0:
        return True, -1
    out = int(packed.insert(c, s, tag, flags))
    return False, packed.line_of(c, s, out >> 3) if out else -1


def drop(sets: list[NaiveSet], line: int) -> bool:
    """Remove a line from textbook sets: was it there?"""
    held = sets[line % len(sets)].lines
    if line in held:
        held[held.index(line)] = None
        return True
    return False


@pytest.mark.parametrize("policy", NAIVE)
@pytest.mark.parametrize("ways", WAYS)
def test_the_same_hits_and_victims_as_the_textbook(policy: str, ways: int) -> None:
    """Random uses and removals of a quarter more lines than there is room for: the same hits, the same lines there."""
    rng = random.Random(ways)
    sets = 4
    c, naive = empty(policy, sets, ways), [NAIVE[policy](ways) for _ in range(sets)]
    lines = range(sets * ways + max(sets, sets * ways // 4))
    for step in range(3000):
        line = rng.choice(lines)
        if rng.random() < 0.05:
            s = packed.set_of(c, 0, line)
            assert (packed.remove(c, s, line >> c.bits) != 0) == drop(naive, line)
            continue
        before = set(naive[line % sets].lines)
        hit, out = use(c, line)
        assert hit == naive[line % sets].use(line), f"step {step}"
        gone = before - set(naive[line % sets].lines) - {None}
        assert (out == -1 and not gone) or gone == {out}, f"step {step}"


@pytest.mark.parametrize("policy", [*NAIVE, "random"])
def test_flags_stay_with_their_line(policy: str) -> None:
    """Whatever the ways are moved about, a dirty line falls out dirty and an exclusive one is removed exclusive."""
    rng, c = random.Random(5), empty(policy, 2, 6)
    flags: dict[int, int] = {}
    for _ in range(2000):
        line = rng.randrange(20)
        s, tag = packed.set_of(c, 0, line), line >> c.bits
        i = packed.peek(c, s, tag)
        if i >= 0:
            assert c.tag[i] & 7 == flags[line] | packed.VALID
            if rng.random() < 0.2:
                assert packed.remove(c, s, tag) == flags.pop(line) | packed.VALID
            else:
                assert packed.touch(c, s, tag) >= 0
        else:
            flags[line] = rng.choice([0, packed.DIRTY, packed.EXCLUSIVE, packed.DIRTY | packed.EXCLUSIVE])
            out = packed.insert(c, s, tag, flags[line])
            if out:
                assert out & 7 == flags.pop(packed.line_of(c, s, out >> 3)) | packed.VALID


def test_lists_and_arrays_are_one_cache() -> None:
    rng = random.Random(6)
    for policy in (*NAIVE, "random"):
        a, b = empty(policy, 8, 12), empty(policy, 8, 12, lists=False)
        trace = [rng.randrange(130) for _ in range(1500)]
        assert [use(a, line) for line in trace] == [use(b, line) for line in trace]
        assert a.tag == b.tag.tolist() and a.order == b.order.tolist()


def test_random_victims_are_uniform_and_independent() -> None:
    """Every way is as likely, whatever way was taken before; and what one set draws no other set shifts."""
    ways, draws = 11, 22_000
    c = empty("random", 4, ways)

    def victims(c: Any, s: int, n: int) -> list[int]:
        for tag in range(ways):
            packed.insert(c, s, tag, 0)
        out = []
        for tag in range(ways, ways + n):
            gone = {k: c.tag[s * ways + k] for k in range(ways)}
            packed.insert(c, s, tag, 0)
            out.append(next(k for k in range(ways) if c.tag[s * ways + k] != gone[k]))
        return out

    chosen = victims(c, 1, draws)
    counts = [chosen.count(way) for way in range(ways)]
    pairs = [[0] * ways for _ in range(ways)]
    for a, b in itertools.pairwise(chosen):
        pairs[a][b] += 1
    expected = draws / ways
    chi2 = sum((n - expected) ** 2 / expected for n in counts)
    assert chi2 < 29.6, counts  # 10 degrees of freedom, one in a thousand
    chi2 = sum((n - expected / ways) ** 2 / (expected / ways) for line in pairs for n in line)
    assert chi2 < 172, "a draw depends on the one before"  # 120 of them, one in a thousand
    other = empty("random", 4, ways)
    for s in (0, 2, 3):
        victims(other, s, 50)
    assert victims(other, 1, 200) == chosen[:200]


@pytest.mark.parametrize(("lines", "ways"), [(5, 4), (7, 4), (9, 8), (13, 12), (20, 12), (40, 12)])
def test_cyclic_walks_round_one_set(lines: int, ways: int) -> None:
    """LRU and SRRIP never hit; random as its closed form says, within the 0.01 that one claims and 4 sigma."""
    rounds = 60_000 // lines
    walk = list(range(lines)) * rounds

    def rate(policy: str) -> float:
        c = empty(policy, 1, ways)
        hits = [use(c, line)[0] for line in walk]
        return sum(hits[len(hits) // 10 :]) / (len(hits) - len(hits) // 10)

    assert rate("lru") == theory.cyclic_lru_hit_rate(lines, ways) == 0
    assert rate("rrip") == theory.cyclic_srrip_hit_rate(lines, ways) == 0
    small = lines <= 13
    expected = (theory.cyclic_random_exact_hit_rate if small else theory.cyclic_random_hit_rate)(lines, ways)
    # a whole round's hits move together, so a round counts as one sample of mean `expected` at worst
    noise = 4 * (expected * (1 - expected) / rounds) ** 0.5
    assert rate("random") == pytest.approx(expected, abs=(0 if small else 0.01) + noise)


@pytest.mark.parametrize("slices", [1, 3, 36])
def test_sliced_sets_give_the_line_back_and_spread_evenly(slices: int) -> None:
    """Set and tag name the line; of lines in a row, and of every 64th, each slice gets its share within 5 sigma."""
    c = cache("l3", 2, 64 * slices, 4, slices)
    for step in (1, 64, 4096 + 64):
        counts = [0] * slices
        lines = range(step * 7, step * 7 + step * 20_000, step)
        for line in lines:
            s = packed.sliced_set_of(c, 1, line)
            assert c.sets <= s < 2 * c.sets
            assert packed.sliced_line_of(c, s, line >> c.bits) == line
            counts[(s - c.sets) >> c.bits] += 1
        share = len(lines) / slices
        assert max(abs(n - share) for n in counts) <= 5 * share**0.5 + 1, f"step {step}"
