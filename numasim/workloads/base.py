"""What a workload is, what it is given and what it gives back; and the register of all of them."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from numasim.errors import UserError
from numasim.traces.records import Records


class RegionLike(Protocol):
    """A piece of address space."""

    @property
    def base(self) -> int:
        """Its first address."""


class Space(Protocol):
    """What a workload needs of `numasim.memory.AddressSpace`."""

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> RegionLike:
        """A new region, whose base is a multiple of 2 MiB, first touched by a thread on `touch_node`."""


@dataclass
class Context:
    """What a workload is built in.

    machine: the simulated machine. space: where its memory is laid out. rng: seeded by the run; used only to derive
    `seed`. threads: numbers of the threads it runs as. nodes: the node each of these threads runs on.
    """

    machine: Any
    space: Space
    rng: np.random.Generator
    threads: list[int]
    nodes: list[int]

    @cached_property
    def seed(self) -> int:
        """The workload's own seed, drawn once."""
        return int(self.rng.integers(1 << 62))

    def random(self, *which: int) -> np.random.Generator:
        """The random numbers named by `which`, for example (thread, lap): the same whenever they are asked for."""
        return np.random.default_rng([self.seed, *which])

    def region(self, name: str, size_bytes: int, place: int) -> int:
        """Base address of a new region, first touched on the node of the thread at this place of `threads`.

        The regions of several threads share their name: a placement or a result by name means all of them.
        """
        return self.space.region(name, max(1, int(size_bytes)), touch_node=self.nodes[place]).base

    def regions(self, name: str, size_bytes: int, shared: bool) -> list[int]:
        """For each thread, the base address of its structure: a region of its own, or the first one's for all."""
        if shared:
            return [self.region(name, size_bytes, 0)] * len(self.threads)
        return [self.region(name, size_bytes, place) for place in range(len(self.threads))]


class ThreadProgram(NamedTuple):
    """What one thread does, lap after lap.

    lap: number of a lap -> its records in chunks of at most 65,536, made on the fly. The same number gives the same
        records; a dependence that reaches back before the first record of lap 0 is complete.
    lap_accesses: memory accesses (loads, stores, atomics) of a lap; of random look-ups the number to expect.
    same: every lap is identical.
    group: "" for the workload's own, else the part of it this thread is ("chaser", "generators").
    endless: goes on until all threads that are not endless are done.
    operations: laps hold OP_END marks.
    counts: laps hold COUNT_ON and COUNT_OFF marks, which say what counts; one lap is run.
    barriers: numbers of the barriers this thread takes part in; one opens when all its threads have come to it.
    tokens: how many tokens the threads of its program post and await (from 0 up), the same for all of them.
    """

    lap: Callable[[int], Iterator[Records]]
    lap_accesses: int
    same: bool
    group: str = ""
    endless: bool = False
    operations: bool = False
    barriers: tuple[int, ...] = ()
    counts: bool = False
    tokens: int = 0


class Program(NamedTuple):
    """What all threads of a workload do. sites: names of the call sites, by number. notes: what results must state."""

    threads: list[ThreadProgram]
    sites: list[str]
    notes: tuple[str, ...] = ()


class Workload(ABC):
    """Base of all workloads: a frozen dataclass whose fields are its keys (see `settings.key`).

    Contract: `build` lays the structure out in regions of `ctx.space` and returns one ThreadProgram for each of
    `ctx.threads`, in order. Raises UserError for keys that contradict each other and for a wrong number of threads.
    """

    name: ClassVar[str]
    default_threads: ClassVar[int] = 1

    def threads(self) -> int:
        """How many threads it runs as unless the user says."""
        return self.default_threads

    def least_bytes(self, machine: Any, threads: int) -> int:
        """Memory that so many threads need at least: too much is told before a long time goes into laying it out."""
        return 0

    @abstractmethod
    def build(self, ctx: Context) -> Program:
        """Lays out memory and returns the program."""

    def error(self, key: str, what: str, expected: str) -> UserError:
        """What is wrong with a key of this workload."""
        return UserError(what, f"workload {self.name}, key {key}", expected)


class KeyDoc(NamedTuple):
    """A key as users see it. unit: "" for pure numbers and words."""

    name: str
    type: str
    unit: str
    default: str
    doc: str


class Description(NamedTuple):
    """A workload as users see it."""

    name: str
    doc: str
    keys: list[KeyDoc]
    default_threads: int


_registered: dict[str, type[Workload]] = {}


def workload(name: str) -> Callable[[type[Any]], type[Any]]:
    """Registers a Workload class under a name: as a decorator, above `@dataclass(frozen=True)`."""

    def register(cls: type[Any]) -> type[Any]:
        cls.name = name
        _registered[name] = cls
        return cls

    return register


def _all() -> dict[str, type[Workload]]:
    """Every workload: importing this package's modules registers theirs, so that a new one is one new file."""
    package = importlib.import_module(__package__ or "numasim.workloads")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _registered


def near(word: str, words: Sequence[str]) -> str:
    """All words, and which one it was probably meant to be."""
    import difflib

    close = difflib.get_close_matches(word, words, 1)
    return "one of " + " ".join(words) + (f"; did you mean {close[0]}?" if close else "")


def names() -> list[str]:
    """Names of all workloads, sorted."""
    return sorted(_all())


def _find(name: str) -> type[Workload]:
    found = _all()
    if name not in found:
        raise UserError(f"unknown workload {name!r}", "workload", near(name, sorted(found)))
    return found[name]


def make(name: str, keys: Mapping[str, object]) -> Any:
    """The workload `name` with these keys, texts as on the command line or values as in TOML. Raises UserError."""
    cls = _find(name)
    kinds = {f.name: f.metadata["kind"] for f in fields(cls)}  # type: ignore[arg-type]
    for key in keys:
        if key not in kinds:
            raise UserError(f"unknown key {key!r}", f"workload {name}", near(key, list(kinds)))
    return cls(**{key: kinds[key].read(str(value), f"workload {name}, key {key}") for key, value in keys.items()})


def describe(name: str) -> Description:
    """What a workload is and which keys it has. Raises UserError for an unknown name."""
    cls = _find(name)
    keys = [
        KeyDoc(f.name, f.metadata["kind"].type, f.metadata["kind"].unit, f.metadata["default"], f.metadata["doc"])
        for f in fields(cls)  # type: ignore[arg-type]
    ]
    return Description(name, (cls.__doc__ or "").strip().splitlines()[0], keys, cls.default_threads)
