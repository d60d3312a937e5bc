"""Code addresses into names: the function and the offset in it, and the source line where there is debug information.

Functions come from the symbol tables of ELF files (.symtab, else .dynsym), lines from DWARF's line programs (versions 2
to 5), both read by pyelftools. A file that is gone or was built anew names nothing it should not: without a symbol a
place is the file's name and the address in it, as debuggers and objdump have it.
"""

import bisect
import contextlib
import ctypes
import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class CodeFile(Protocol):
    """A mapped ELF file: its code is at start <= address < end; an address minus bias is the file's own."""

    @property
    def path(self) -> str:
        """Of the file."""
        ...

    @property
    def bias(self) -> int:
        """Load bias."""
        ...

    @property
    def start(self) -> int:
        """Its first address."""
        ...

    @property
    def end(self) -> int:
        """After its last address."""
        ...


class Place(NamedTuple):
    """A place in a program's code.

    address: as recorded.  file: the ELF file, "" where none is known.  function: its name, C++ names as written in
    source; "" unknown.  offset: bytes from the function's start, or else the address in the file.  source, line: of the
    source, "" and 0 unknown.
    """

    address: int
    file: str = ""
    function: str = ""
    offset: int = 0
    source: str = ""
    line: int = 0

    @property
    def name(self) -> str:
        """`main+0x1d`, `libc.so.6+0x8f3a1`, or `0x4005d0`."""
        if not self.file:
            return f"{self.address:#x}"
        return f"{self.function or os.path.basename(self.file)}+{self.offset:#x}"


class Symbols:
    """Names addresses of code that lies in these files (Meta.code). Files are read when first needed."""

    def __init__(self, code: Sequence[CodeFile]) -> None:
        self.code = code
        self._elf: dict[str, _Elf] = {}

    def place(self, address: int) -> Place:
        """What is at an address."""
        for file in self.code:
            if file.start <= address < file.end:
                return self._elf_of(file.path).place(address, address - file.bias, file.path)
        return Place(address)

    def of_site(self, site: str) -> Place | None:
        """What is at a site of a trace, whose name is a hexadecimal address; None for others ("other", "unknown")."""
        try:
            return self.place(int(site, 16))
        except ValueError:
            return None

    def _elf_of(self, path: str) -> "_Elf":
        if path not in self._elf:
            self._elf[path] = _Elf(path)
        return self._elf[path]


class _Elf:
    """An ELF file's functions and lines; empty where it cannot be read."""

    def __init__(self, path: str) -> None:
        from elftools.elf.elffile import ELFFile

        self.starts: list[int] = []  # of the functions, ascending
        self.functions: list[tuple[int, int, str]] = []  # start, size, name
        self.dwarf: Any = None
        with contextlib.suppress(*damage()):
            # the file stays open: lines are read when asked for
            elf = ELFFile(open(path, "rb"))  # noqa: SIM115
            table = elf.get_section_by_name(".symtab") or elf.get_section_by_name(".dynsym")
            self.functions = sorted(_functions(table)) if table else []
            self.starts = [start for start, _, _ in self.functions]
            self.dwarf = elf.get_dwarf_info() if elf.has_dwarf_info() else None

    def place(self, address: int, own: int, path: str) -> Place:
        """What is at `own`, an address of the file."""
        at = bisect.bisect_right(self.starts, own) - 1
        function, offset = "", own
        if at >= 0:
            start, size, name = self.functions[at]
            if own < start + size:
                function, offset = demangled(name), own - start
        source, line = "", 0
        with contextlib.suppress(*damage()):
            source, line = self.line(own)
        return Place(address, path, function, offset, source, line)

    def line(self, own: int) -> tuple[str, int]:
        """Source file and line of an address of the file."""
        unit = self._unit(own) if self.dwarf else None
        if unit is None:
            return "", 0
        rows, files, base = self._rows(unit.cu_offset)
        at = bisect.bisect_right(rows, own, key=lambda row: row[0]) - 1
        if at < 0 or not rows[at][2]:  # the address after a sequence's end
            return "", 0
        number = rows[at][1]
        return (files[number - base] if 0 <= number - base < len(files) else ""), rows[at][2]

    def _unit(self, own: int) -> Any:
        """The compilation unit of an address."""
        offset = self._ranges.cu_offset_at_addr(own) if self._ranges else None
        if offset is not None:
            return self.dwarf.get_CU_at(offset)
        return next((unit for start, end, unit in self._units if start <= own < end), None)

    @functools.cached_property
    def _ranges(self) -> Any:
        return self.dwarf.get_aranges()

    @functools.cached_property
    def _units(self) -> list[tuple[int, int, Any]]:
        """Start, end and unit of each stretch of code, where the file has no table of them."""
        found = []
        for unit in self.dwarf.iter_CUs():
            for start, end in _code_of(self.dwarf, unit):
                found.append((start, end, unit))
        return found

    @functools.lru_cache(maxsize=64)  # noqa: B019 as long as the file's, which is as long as the program's
    def _rows(self, offset: int) -> tuple[list[tuple[int, int, int]], list[str], int]:
        """A unit's line table: (address, file, line; line 0 where a sequence ends), files, the first file's number."""
        program = self.dwarf.line_program_for_CU(self.dwarf.get_CU_at(offset))
        if program is None:
            return [], [], 1
        rows = []
        for entry in program.get_entries():
            if entry.state is not None:
                line = 0 if entry.state.end_sequence else entry.state.line
                rows.append((entry.state.address, entry.state.file, line))
        rows.sort(key=lambda row: (row[0], row[2] > 0))  # where one sequence ends another may begin
        new = program.header["version"] >= 5
        top = self.dwarf.get_CU_at(offset).get_top_DIE().attributes
        folders = [_text(folder) for folder in program.header["include_directory"]]
        if not new:
            folders.insert(0, _text(top["DW_AT_comp_dir"].value) if "DW_AT_comp_dir" in top else "")
        files = [
            os.path.join(*folders[:1], *folders[file.dir_index : file.dir_index + 1], _text(file.name))
            for file in program.header["file_entry"]
        ]
        return rows, files, 0 if new else 1


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def damage() -> tuple[type[Exception], ...]:
    """What pyelftools raises for files that are gone, cut short or damaged."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError

    return OSError, ELFError, DWARFError, ConstructError, ValueError, OverflowError, LookupError, AttributeError


def _functions(table: Any) -> list[tuple[int, int, str]]:
    """Start, size and name of the functions in a symbol table."""
    found = []
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] in ("STT_FUNC", "STT_LOOS") and symbol["st_value"]:  # LOOS: GNU_IFUNC
            found.append((int(symbol["st_value"]), int(symbol["st_size"]), str(symbol.name)))
    return found


def _code_of(dwarf: Any, unit: Any) -> list[tuple[int, int]]:
    """The stretches of code of a compilation unit (DWARF 5, 3.1.1: low and high address, or a list of ranges)."""
    die = unit.get_top_DIE()
    low = die.attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in die.attributes else 0
    if "DW_AT_ranges" in die.attributes:
        lists = dwarf.range_lists()
        entries = lists.get_range_list_at_offset(die.attributes["DW_AT_ranges"].value, cu=unit) if lists else []
        spans = []
        for entry in entries:
            if hasattr(entry, "base_address"):
                low = entry.base_address
            else:
                base = 0 if getattr(entry, "is_absolute", False) else low
                spans.append((base + entry.begin_offset, base + entry.end_offset))
        return spans
    if "DW_AT_high_pc" not in die.attributes:
        return []
    high = die.attributes["DW_AT_high_pc"]
    return [(low, high.value if high.form == "DW_FORM_addr" else low + high.value)]


@functools.cache
def _demangler() -> Any:
    """C++'s own (Itanium C++ ABI, 3.4: __cxa_demangle), where its library is installed."""
    with contextlib.suppress(OSError, AttributeError):
        function = ctypes.CDLL("libstdc++.so.6").__cxa_demangle
        function.restype = ctypes.c_void_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
        return function
    return None


def demangled(name: str) -> str:
    """A C++ name as its source has it, others as they are."""
    demangle = _demangler() if name.startswith("_Z") else None
    if demangle is None:
        return name
    status = ctypes.c_int()
    text = demangle(name.encode(), None, None, ctypes.byref(status))
    if not text:
        return name
    found = ctypes.string_at(text).decode(errors="replace")
    ctypes.CDLL(None).free(ctypes.c_void_p(text))
    return found
