"""Does the data flow find what a slow, obvious one does, which keeps every load and knows its few instructions?"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.traces.records import BRANCH, LOAD, STORE
from unit.lackey_logs import Log

BASES = (0, 1, 2, 3, 6, 7)  # rax rcx rdx rbx rsi rdi: registers whose use as a base needs no further byte
CARRY, OTHERS = "carry", "other flags"


class Step(NamedTuple):
    """An instruction of the repertoire: d, s, b are registers; word: the memory it touches, if it does."""

    name: str
    d: int
    s: int
    b: int
    word: int


def modrm(mode: int, reg: int, rm: int) -> str:
    return f"{mode << 6 | reg << 3 | rm:02x}"


def code_of(i: Step) -> str:
    return {
        "load": "488b" + modrm(0, i.d, i.b),
        "load byte": "8a" + modrm(0, i.d & 3, i.b),
        "load and add": "4803" + modrm(0, i.d, i.b),
        "store": "4889" + modrm(0, i.s, i.b),
        "add to memory": "4801" + modrm(0, i.s, i.b),
        "add": "4801" + modrm(3, i.s, i.d),
        "move": "4889" + modrm(3, i.s, i.d),
        "multiply": "480faf" + modrm(3, i.d, i.s),
        "clear": "4831" + modrm(3, i.d, i.d),
        "address": "488d" + modrm(0, i.d, 4) + modrm(0, i.s, i.b),  # lea d, [b + s]
        "exchange": "4887" + modrm(3, i.s, i.d),
        "count": "48ffc" + f"{i.d:x}",  # inc
        "compare": "483b" + modrm(0, i.d, i.b),
        "if not equal": "7500",
        "if below": "7200",
    }[i.name]


LETTER = {"load": "L", "load byte": "L", "load and add": "L", "compare": "L", "store": "S", "add to memory": "M"}
NAMES = ["load", "load byte", "load and add", "store", "add to memory", "add", "move", "multiply", "clear", "address"]
NAMES += ["exchange", "count", "compare", "if not equal", "if below"]

Loads = dict[int, int]  # number of the record, and cycles since


def joined(*parts: tuple[Loads, int]) -> Loads:
    found: Loads = {}
    for loads, more in parts:
        for number, lag in loads.items():
            found[number] = max(found.get(number, 0), lag + more)
    return found


class Naive:
    """Registers with all the loads they are made of; words with the record that wrote them."""

    def __init__(self) -> None:
        self.of: dict[object, Loads] = {}
        self.wrote: dict[int, int] = {}
        self.records: list[tuple[int, Loads, int]] = []  # kind, needs, record whose data it reads or -1

    def get(self, what: object) -> Loads:
        return self.of.get(what, {})

    def record(self, kind: int, needs: Loads, word: int = -1) -> int:
        self.records.append((kind, needs, self.wrote.get(word, -1) if kind == LOAD else -1))
        if kind == STORE:
            self.wrote[word] = len(self.records) - 1
        return len(self.records) - 1

    def run(self, i: Step) -> None:
        d, s, b = (self.get(r) for r in (i.d, i.s, i.b))
        low = i.d & 3 if i.name == "load byte" else i.d
        value: Loads = {}
        if LETTER.get(i.name, "") in ("L", "M"):
            value = {self.record(LOAD, b, i.word): 0}
        match i.name:
            case "load":
                self.of[i.d] = value
            case "load byte":
                self.of[low] = joined((value, 0), (self.get(low), 1))
            case "load and add":
                self.of[i.d] = self.flags(joined((value, 1), (d, 1)))
            case "store":
                self.record(STORE, joined((b, 0), (s, 0)), i.word)
            case "add to memory":
                self.record(STORE, joined((b, 0), (s, 1), (value, 1)), i.word)
                self.flags(joined((value, 1), (s, 1)))
            case "add":
                self.of[i.d] = self.flags(joined((d, 1), (s, 1)))
            case "move":
                self.of[i.d] = joined((s, 1))
            case "multiply":
                self.of[i.d] = self.flags(joined((d, 3), (s, 3)))
            case "clear":
                self.of[i.d] = self.flags({})
            case "address":
                self.of[i.d] = joined((b, 1), (s, 1))
            case "exchange":
                self.of[i.d], self.of[i.s] = joined((s, 2)), joined((d, 2))
            case "count":
                self.of[i.d] = self.of[OTHERS] = joined((d, 1))
            case "compare":
                self.flags(joined((value, 1), (d, 1)))
            case "if not equal":
                self.record(BRANCH, self.get(OTHERS))
            case "if below":
                self.record(BRANCH, self.get(CARRY))

    def flags(self, loads: Loads) -> Loads:
        self.of[CARRY] = self.of[OTHERS] = loads
        return loads


steps = st.builds(
    Step,
    st.sampled_from(NAMES),
    st.sampled_from(BASES),
    st.sampled_from(BASES),
    st.sampled_from(BASES),
    st.integers(0, 5),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, min_size=1, max_size=80), st.integers(1, 50))
def test_needs_are_those_of_the_naive_flow(program: list[Step], group_rows: int) -> None:
    log, naive = Log(), Naive()
    log.ran("488b07", "L 9000,8")  # a log without an access is an error
    naive.run(Step("load", 0, 0, 7, 100))
    for i in program:
        log.ran(code_of(i), *([f"{LETTER[i.name]} {0x1000 + 8 * i.word:x},8"] if i.name in LETTER else []))
        naive.run(i)
    log.ran("90")
    with tempfile.TemporaryDirectory() as folder:
        rows, done = log.convert(Path(folder), group_rows=group_rows, buffer_bytes=100)
    assert [row.kind for row in rows] == [kind for kind, _, _ in naive.records]
    for number, (row, (_, needs, writer)) in enumerate(zip(rows, naive.records, strict=True)):
        expected = {(number - load, lag) for load, lag in needs.items()}
        assert len(row.needs) == min(len(needs), 3)
        assert set(row.needs) <= expected
        assert row.fwd == (number - writer if writer >= 0 else 0)
    assert done.incomplete == sum(len(needs) > 3 for _, needs, _ in naive.records)
    assert done.unknown_code == 0
