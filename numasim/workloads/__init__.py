"""Workloads: programs that yield traces, one file each. `make("chase", {"size": "512MiB"}).build(context)`."""

from numasim.workloads.base import (
    Context,
    Description,
    KeyDoc,
    Program,
    ThreadProgram,
    Workload,
    describe,
    make,
    names,
    workload,
)

__all__ = [
    "Context",
    "Description",
    "KeyDoc",
    "Program",
    "ThreadProgram",
    "Workload",
    "describe",
    "make",
    "names",
    "workload",
]
