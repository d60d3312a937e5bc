"""Where the bytes of the executed instructions come from: ELF files at their load bias, or the running process.

A log holds addresses of instructions, not the instructions. `Files` has them from the program's and its libraries'
files, each moved by the load bias it ran with (what is added to the addresses in the file); `Live` from /proc/PID/maps
and /proc/PID/mem of the process (proc(5)), generated code included, when an address is first seen.
"""

import contextlib
import os
import platform
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from numasim.errors import UserError
from numasim.traces.parquet import CodeFile

MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
EXPECTED = "FILE@BIAS, as ./walk@0x108000: an ELF file, and what was added to its addresses when it was loaded"
PAGE = 4096
BLOCK = 1 << 20  # bytes read at a time
LONGEST = 16  # bytes an instruction may have (x86-64: 15)


class Code(Protocol):
    """The code of one program."""

    @property
    def machine(self) -> str:
        """Its instruction set: "x86_64" or "aarch64"."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """The bytes of code at an address: up to `size`, none where they are not known."""
        ...

    def forget(self) -> None:
        """Code has changed under an address already read: what is read next is looked at anew."""
        ...

    def files(self) -> list[CodeFile]:
        """The files it came from, so that addresses can be named later."""
        ...


class Stretch(NamedTuple):
    """Code at start <= address < start + len(data)."""

    start: int
    data: bytes


def parse(texts: Sequence[str]) -> "Files":
    """The code named by words "FILE@BIAS" (bias decimal, or hexadecimal with 0x; without @BIAS it is 0).

    Under valgrind a position-independent program has bias 0x108000, ld.so 0x4000000, a program linked to fixed
    addresses (a static one, most of Go's) 0. Raises UserError for what is no such word, and as Files does.
    """
    files = []
    for text in texts:
        path, at, bias = text.rpartition("@")
        if not at:
            path, bias = text, "0"
        try:
            number = int(bias, 16 if bias.lower().startswith("0x") else 10)
        except ValueError as error:
            raise UserError(f"no load bias: {bias!r}", f"--code {text}", EXPECTED) from error
        if not path or not 0 <= number < 1 << 47:
            raise UserError("no file and load bias", f"--code {text}", EXPECTED)
        files.append((path, number))
    return Files(files)


class Files:
    """Code out of ELF files: (path, load bias) each. Raises UserError for a file that cannot be read or has no code."""

    def __init__(self, files: Sequence[tuple[str, int]]) -> None:
        self._stretches: list[Stretch] = []
        self._files: list[CodeFile] = []
        self.machine = ""
        for path, bias in files:
            machine, found = executable(path, bias)
            if self.machine and machine != self.machine:
                raise UserError(f"code for {machine}, but others are for {self.machine}", path)
            self.machine = machine
            self._stretches += found
            end = max(s.start + len(s.data) for s in found)
            self._files.append(CodeFile(os.path.abspath(path), bias, min(s.start for s in found), end))

    def read(self, address: int, size: int) -> bytes:
        """See Code."""
        return _within(self._stretches, address, size)

    def forget(self) -> None:
        """Files do not change."""

    def files(self) -> list[CodeFile]:
        """See Code."""
        return list(self._files)


def executable(path: str, bias: int) -> tuple[str, list[Stretch]]:
    """The machine of an ELF file, and its executable segments moved by the load bias. UserError if there are none."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            machine = MACHINES.get(elf["e_machine"], "")
            found = [
                Stretch(bias + segment["p_vaddr"], segment.data())
                for segment in elf.iter_segments("PT_LOAD")
                if segment["p_flags"] & 1 and segment["p_filesz"]  # PF_X
            ]
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path, EXPECTED) from error
    except (ELFError, ConstructError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise UserError("no ELF file, or one cut short", path, EXPECTED) from error
    if not machine:
        raise UserError("code for another machine", path, "an ELF file for x86-64 or aarch64")
    if not found:
        raise UserError("an ELF file without code", path, EXPECTED)
    return machine, found


def _within(stretches: Sequence[Stretch], address: int, size: int) -> bytes:
    for s in stretches:
        if 0 <= address - s.start < len(s.data):
            return s.data[address - s.start : address - s.start + size]
    return b""


class Mapping(NamedTuple):
    """A line of /proc/PID/maps: start <= address < end; offset in the file `path`, "" for memory without a file."""

    start: int
    end: int
    writable: bool
    offset: int
    path: str


class Live:
    """Code of a running process, read when an address is first seen. Once it has ended, what was mapped from files is
    read from those.

    A mapping of a file is read in blocks, each once. Memory without a file, where code is generated, is read each time:
    its bytes at that moment; a page is kept of it for when the process has ended.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.machine = platform.machine()
        self._mappings: list[Mapping] = []
        self._blocks: dict[tuple[Mapping, int], bytes] = {}
        self._pages: dict[int, bytes] = {}
        self._seen: dict[Mapping, None] = {}

    def read(self, address: int, size: int) -> bytes:
        """See Code."""
        mapping = self._mapping(address)
        if mapping is None:
            return self._pages.get(address // PAGE, b"")[address % PAGE :][:size]
        if not mapping.path.startswith("/") or mapping.writable:
            return self._generated(mapping, address, size)
        offset = address - mapping.start
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        self._seen[mapping] = None
        data = b"".join(self._block(mapping, block) for block in range(first, last + 1))
        return data[offset - first * BLOCK :][:size]

    def _block(self, mapping: Mapping, block: int) -> bytes:
        """A block of a file's mapping."""
        key = mapping, block
        if key not in self._blocks:
            start = mapping.start + block * BLOCK
            end = min(start + BLOCK, mapping.end)
            data = self._memory(start, end) or _file(mapping, start, end)
            if not data:
                return b""  # perhaps later
            self._blocks[key] = data
        return self._blocks[key]

    def forget(self) -> None:
        """See Code."""
        self._mappings = []
        self._blocks.clear()
        self._pages.clear()

    def files(self) -> list[CodeFile]:
        """See Code: those of which code was read."""
        found = []
        for m in self._seen:
            bias = _bias(m)
            if bias is not None:
                found.append(CodeFile(m.path, bias, m.start, m.end))
        return sorted(found, key=lambda file: file.start)

    def _mapping(self, address: int) -> Mapping | None:
        """Where an address lies; looks at the process again if that is not known."""
        for again in (False, True):
            if again and (mappings := _mappings(self.pid)):
                self._mappings = mappings
            for mapping in self._mappings:
                if mapping.start <= address < mapping.end:
                    return mapping
        return None

    def _generated(self, mapping: Mapping, address: int, size: int) -> bytes:
        first, last = address // PAGE, (address + size - 1) // PAGE
        if data := self._memory(first * PAGE, min((last + 1) * PAGE, mapping.end)):
            for page in range(first, last + 1):
                self._pages[page] = data[(page - first) * PAGE :][:PAGE]
        both = self._pages.get(first, b"") + (self._pages.get(last, b"") if last > first else b"")
        return both[address % PAGE :][:size]

    def _memory(self, start: int, end: int) -> bytes:
        """Bytes of the process's memory, none if it has ended."""
        with contextlib.suppress(OSError, OverflowError), open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            return os.pread(memory.fileno(), end - start, start)
        return b""


def _mappings(pid: int) -> list[Mapping]:
    """The mappings of a process, none if it has ended."""
    found = []
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", errors="surrogateescape") as lines:
        for line in lines:
            where, flags, offset, _, _, *path = line.rstrip("\n").split(maxsplit=5)
            start, end = (int(word, 16) for word in where.split("-"))
            found.append(Mapping(start, end, "w" in flags, int(offset, 16), path[0] if path else ""))
    return found


def _file(mapping: Mapping, start: int, end: int) -> bytes:
    """The bytes of a part of a mapping, from its file."""
    with contextlib.suppress(OSError), open(mapping.path, "rb") as file:
        return os.pread(file.fileno(), end - start, mapping.offset + start - mapping.start)
    return b""


def _bias(mapping: Mapping) -> int | None:
    """The load bias with which a file was mapped; None if it is no ELF file (any more)."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with contextlib.suppress(OSError, ELFError), open(mapping.path, "rb") as file:
        for s in ELFFile(file).iter_segments("PT_LOAD"):
            if s["p_offset"] // PAGE * PAGE <= mapping.offset < s["p_offset"] + s["p_filesz"]:
                return int(mapping.start - mapping.offset + s["p_offset"] - s["p_vaddr"])
    return None
