"""Hand-made lackey logs with the code of their instructions, and the rows that come of them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numasim.traces import parquet
from numasim.traces.readers import lackey


class Row(NamedTuple):
    """A row; needs: (records back, cycles), the furthest back first."""

    thread: int
    kind: int
    address: int
    size: int
    insns: int
    needs: tuple[tuple[int, int], ...]
    fwd: int
    taken: int


class Log:
    """Instructions as they ran, each with its address, its bytes and its memory lines."""

    def __init__(self, machine: str = "x86_64") -> None:
        self.machine = machine
        self.lines: list[str] = []
        self.code: dict[int, bytes] = {}
        self.next = 0x401000
        self.forgot = 0

    def ran(self, code: str, *accesses: str, at: int | None = None) -> int:
        """An instruction ran, by default behind the one before; accesses: as "L 1000,8". Returns its address."""
        data, where = bytes.fromhex(code), self.next if at is None else at
        self.code[where], self.next = data, where + len(data)
        self.lines += [f"I  {where:08x},{len(data)}", *(f" {access}" for access in accesses)]
        return where

    def thread(self, number: int) -> None:
        """Another thread's turn."""
        self.lines.append(f"--7--   SCHED[{number}]:  acquired lock (VG_(scheduler))")

    def mark(self, offset: int) -> None:
        """A marker: mov qword [page + offset], 1; the address is in a register here."""
        self.ran("48c70001000000", f"S {0x0A0000000000 + offset:x},8")

    # what is asked of code

    def read(self, address: int, size: int) -> bytes:
        return self.code.get(address, b"")[:size]

    def forget(self) -> None:
        self.forgot += 1

    def files(self) -> list[parquet.CodeFile]:
        return []

    def convert(self, folder: Path, **options: Any) -> tuple[list[Row], lackey.Converted]:
        """Its rows, and what the conversion says."""
        (folder / "log").write_text("\n".join(self.lines) + "\n")
        done = lackey.convert(folder / "log", folder / "t.parquet", code=options.pop("code", self), **options)
        return rows_of(folder / "t.parquet"), done


def rows_of(path: Path) -> list[Row]:
    rows = []
    for chunk in parquet.Reader(path).chunks():
        c = {name: np.asarray(column).tolist() for name, column in chunk._asdict().items()}
        for i in range(len(chunk.address)):
            needs = sorted(((c[f"dep{k}"][i], c[f"lag{k}"][i]) for k in range(3) if c[f"dep{k}"][i]), reverse=True)
            plain = (c[name][i] for name in ("thread", "kind", "address", "size", "insns"))
            rows.append(Row(*plain, tuple(needs), c["fwd"][i], c["taken"][i]))
    return rows
