"""Do the packed predictors guess as their naive twins do, and learn what they are said to learn?"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from numasim.engine import tage
from numasim.engine.predictor import PREDICTORS, mispredicted, untaught
from theory import naive_predictors

Stream = tuple[list[int], list[int]]  # addresses, outcomes


def guessed_wrong(kind: str, bits: int, stream: Stream, core: int = 0) -> npt.NDArray[np.bool_]:
    """Of the engine's predictor of this core, in plain Python: which are wrong."""
    table, history = untaught(PREDICTORS[kind], bits, core + 1)
    before = table.copy(), history.copy()
    wrong = [mispredicted(table, history, core, PREDICTORS[kind], bits, a, t) for a, t in zip(*stream, strict=True)]
    other = len(table) // (core + 1) * core, len(history) // (core + 1) * core
    assert all(np.array_equal(x[:n], y[:n]) for x, y, n in zip((table, history), before, other, strict=True))
    return np.array(wrong)


def noise(seed: int) -> Stream:
    """Branches of any address that go anywhere, some with a bias."""
    rng = np.random.default_rng(seed)
    address = rng.integers(0x400000, 0x400000 + rng.choice([64, 1 << 16]), 6000)
    return address.tolist(), (rng.random(6000) < address % 7 / 6).astype(int).tolist()


def loops(seed: int) -> Stream:
    """Nests of loops whose lengths repeat, and branches that go as one before them went."""
    rng = np.random.default_rng(seed)
    address, taken = [], []
    lengths = rng.integers(2, 60, 5)
    while len(address) < 6000:
        for k, length in enumerate(lengths.tolist()):
            for turn in range(length):
                heads = int(rng.random() < 0.1)
                address += [0x1000 + 14 * k, 0x2000 + 6 * k, 0x7F001000 + 6 * k]
                taken += [int(turn < length - 1), heads, heads]
    return address, taken


def path(seed: int, length: int = 300, count: int = 6000, other: float = 0) -> Stream:
    """The same random outcomes of some branches over and over, but for this share of them."""
    rng = np.random.default_rng(seed)
    address, taken = 0x1000 + rng.integers(0, 64, length), rng.integers(0, 2, length)
    return np.resize(address, count).tolist(), (np.resize(taken, count) ^ (rng.random(count) < other)).tolist()


def long(seed: int) -> Stream:
    """A loop too long for any history, then branches at random, again and again."""
    rng = np.random.default_rng(seed)
    lap = [0x1000] * 300 + list(range(0x2000, 0x2000 + 2 * 30, 2))
    return lap * 18, [t for _ in range(18) for t in [1] * 299 + [0] + rng.integers(0, 2, 30).tolist()]


@pytest.mark.parametrize("stream", [noise(1), noise(2), loops(3), loops(4), path(5), path(6, other=0.003), long(7)])
@pytest.mark.parametrize("kind", ["gshare", "tage"])
def test_guesses_are_those_of_a_naive_twin(kind: str, stream: Stream) -> None:
    twin: Callable[..., list[bool]] = getattr(naive_predictors, kind)
    wrong = guessed_wrong(kind, 6, stream, core=1)
    assert wrong.tolist() == twin(zip(*stream, strict=True), 6)
    assert 0 < wrong.sum() < 0.6 * len(wrong)


@pytest.mark.parametrize(("aging", "full"), [(500, False), (1 << 18, True)])
def test_small_tables_of_tage_fill_and_forget_as_those_of_its_twin(
    aging: int, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of 128 entries, and more to learn than they hold: useful ones are fought for, or forgotten."""
    monkeypatch.setattr(tage, "TABLE_BITS", 7)
    monkeypatch.setattr(tage, "AGING", aging)
    twin = naive_predictors.Tage(4, index=7, aging=aging)
    table, history = untaught(PREDICTORS["tage"], 4, 1)
    for a, t in zip(*path(6, 900, 9000), strict=True):
        assert tage.tage_mispredicted(table, 0, 4, history, 0, a, t) == twin.wrong(a, bool(t))
    useful = np.zeros(tage.ENTRIES, int)
    for i, entries in enumerate(twin.tables):
        for index, entry in entries.items():
            useful[(i << 7) + index] = entry.useful
    assert np.array_equal(table[1 << 4 :] >> tage.USEFUL & 3, useful)
    assert useful.any() and (twin.full > 0) == full


@pytest.mark.parametrize("length", [300, 1000])
def test_tage_learns_any_path_that_repeats_and_fits(length: int) -> None:
    """Branches at random places with random outcomes, the same again and again, as look-ups of the same keys are."""
    wrong = guessed_wrong("tage", 14, path(8, length, 20 * length))
    assert wrong[:length].sum() > 0.3 * length and wrong[-length:].sum() <= 0.005 * length


@pytest.mark.parametrize(("period", "learnt_by"), [(10, {"gshare", "tage"}), (200, {"tage"}), (300, set())])
def test_the_exits_of_a_loop_are_learnt_up_to_the_longest_history(period: int, learnt_by: set[str]) -> None:
    """Gshare of 2**14 counters looks 14 outcomes back, the last table of TAGE 256."""
    turns = 40
    stream = [0x401000] * period * turns, ([1] * (period - 1) + [0]) * turns
    exits = {kind: int(guessed_wrong(kind, 14, stream)[-10 * period :].sum()) for kind in ("gshare", "tage")}
    assert {kind for kind, wrong in exits.items() if wrong == 0} == learnt_by
    assert all(wrong in (0, 10) for wrong in exits.values())


def test_tage_finds_the_one_outcome_that_matters_among_others() -> None:
    """A branch goes as one 59 before it went; those between always go the same way, so two histories are to be learnt,
    if one looks back so far."""
    rng = np.random.default_rng(7)
    address, taken = [], []
    for heads in rng.integers(0, 2, 800).tolist():
        address += [0x1000, *range(0x2000, 0x2000 + 8 * 58, 8), 0x3000]
        taken += [heads, *[k % 3 % 2 for k in range(58)], heads]
    wrong = {kind: guessed_wrong(kind, 12, (address, taken)).reshape(800, 60)[400:, -1] for kind in ("gshare", "tage")}
    assert wrong["tage"].mean() < 0.02 < 0.4 < wrong["gshare"].mean()
