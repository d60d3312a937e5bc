"""Instructions by their addresses: each is disassembled once (capstone) and kept as a row of numbers.

Two instructions of the same bytes are one kind. An address whose bytes are not known, or do not disassemble to an
instruction of the size the log says, is of the kind 0, UNKNOWN.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.code import aarch64, x86
from numasim.traces.code.effects import NOTHING_KNOWN, WIDTH, Effects, row_of
from numasim.traces.code.images import LONGEST, Code

Table = npt.NDArray[np.int16]


class Decoder:
    """Kinds of instructions of one program. `table` [kinds, WIDTH] holds their rows; it is replaced when it grows."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.table: Table = np.zeros((1 << 10, WIDTH), np.int16)
        self.table[0] = row_of(NOTHING_KNOWN)
        self.kinds = 1
        self._of_bytes: dict[bytes, int] = {}
        self._engine = disassembler(code.machine)

    def kind(self, address: int, size: int) -> int:
        """Number of the kind of the instruction at an address; size: its bytes by the log."""
        data = self.code.read(address, LONGEST)[:size]
        if len(data) < size:
            return 0
        if data not in self._of_bytes:
            found = decode(self._engine, self.code.machine, data)
            self._of_bytes[data] = self._new(found) if found and found.size == size else 0
        return self._of_bytes[data]

    def _new(self, found: Effects) -> int:
        if self.kinds == len(self.table):
            self.table = np.concatenate([self.table, np.zeros_like(self.table)])
        self.table[self.kinds] = row_of(found)
        self.kinds += 1
        return self.kinds - 1


def disassembler(machine: str) -> Any:
    """capstone for a machine, with details. UserError if it has none for it."""
    import capstone

    modes = {
        "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
        "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    }
    if machine not in modes:
        raise UserError(f"no dependences from code for {machine}", "--code", "x86_64 or aarch64")
    engine = capstone.Cs(*modes[machine])
    engine.detail = True
    return engine


def decode(engine: Any, machine: str, data: bytes) -> Effects | None:
    """What the first instruction of these bytes reads and writes; None if they are none."""
    for insn in engine.disasm(data, 0, 1):
        return x86.effects(insn) if machine == "x86_64" else aarch64.effects(insn)
    return None
