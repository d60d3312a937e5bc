"""Writes walk.champsimtrace.xz and walk.view.xz from what valgrind's lackey logs of walk.c: as ChampSim's tracer and
DynamoRIO's view tool would have written them of the same run. See README.md. Usage: python write_walk.py walk log
"""

import lzma
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import capstone
from capstone import x86
from elftools.elf.elffile import ELFFile

FUNCTIONS = ("walk", "gather", "through_memory")
TID = 4711

# Intel Pin's numbers of registers, which ChampSim's traces have (the tracer writes INS_RegR and INS_RegW as they are)
PIN = {"rdi": 3, "rsi": 4, "rbp": 5, "rsp": 6, "rbx": 7, "rdx": 8, "rcx": 9, "rax": 10, "rflags": 25, "rip": 26}


class Step(NamedTuple):
    """An executed instruction: as disassembled, and the bytes it read and wrote, (address, size) each."""

    insn: capstone.CsInsn
    reads: list[tuple[int, int]]
    writes: list[tuple[int, int]]


def steps(program: str, log: str) -> Iterator[Step]:
    """The instructions of FUNCTIONS in a log."""
    with open(program, "rb") as file:
        elf = ELFFile(file)
        symbols = [elf.get_section_by_name(".symtab").get_symbol_by_name(name)[0] for name in FUNCTIONS]
        text = elf.get_section_by_name(".text")
        code, base = text.data(), text["sh_addr"]
    inside = [range(s["st_value"], s["st_value"] + s["st_size"]) for s in symbols]
    decode = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decode.detail = True
    known: dict[int, capstone.CsInsn] = {}
    step = None
    for line in Path(log).read_text().splitlines():
        if not (found := re.fullmatch(r"(I | [LSM])  ?([0-9a-f]+),(\d+)", line)):
            continue
        kind, address, size = found[1].strip(), int(found[2], 16), int(found[3])
        if kind == "I":
            if step:
                yield step
            step = None
            if any(address in function for function in inside):
                if address not in known:
                    known[address] = next(decode.disasm(code[address - base :][:size], address))
                step = Step(known[address], [], [])
        elif step:
            step.reads.extend([(address, size)] * (kind in "LM"))
            step.writes.extend([(address, size)] * (kind in "SM"))
    if step:
        yield step


def full(insn: capstone.CsInsn, register: int) -> str:
    """The 64-bit register one is part of."""
    name = insn.reg_name(register)
    return {"e": "r" + name[1:]}.get(name[0], name) if name != "eflags" else "rflags"


def champsim(step: Step, after: int) -> bytes:
    """An input_instr. after: address of the next instruction."""
    insn = step.insn
    read, written = ({PIN[full(insn, r)] for r in some} for some in insn.regs_access())
    jump, ret = insn.group(x86.X86_GRP_JUMP), insn.group(x86.X86_GRP_RET)
    if jump:
        read.add(PIN["rip"])
    if jump or ret:
        written.add(PIN["rip"])

    def some(items: Iterator[int] | set[int] | list[int], count: int) -> list[int]:
        return (sorted(items) + [0] * count)[:count]

    return struct.pack(
        "<Q8B6Q",
        insn.address,
        jump or ret,
        ret or (jump and after != insn.address + insn.size),
        *some(written, 2),
        *some(read, 4),
        *some([address for address, _ in step.writes], 2),
        *some([address for address, _ in step.reads], 4),
    )


def view(run: list[Step]) -> Iterator[str]:
    """The lines of the view tool."""
    yield "Output format:"
    yield "<--record#-> <--instr#->: <---tid---> <record details>"
    yield "-" * 60
    record = 0

    def prefix(instruction: int) -> str:
        nonlocal record
        record += 1
        return f"{record:>12}{instruction:>12}: {TID:>11} "

    for marker in ("version 6", "filetype 0xe40", "cache line size 64", "page size 4096", f"tid {TID} on core 3"):
        yield f"{prefix(0)}<marker: {marker}>"
    for number, (insn, reads, writes) in enumerate(run, 1):
        after = run[number].insn.address if number < len(run) else 0
        octets = insn.bytes.hex(" ")
        first, rest = octets[:23], octets[24:]  # eight bytes a line
        how = " (untaken)" if after == insn.address + insn.size else " (taken)"
        how = how if insn.group(x86.X86_GRP_JUMP) and insn.mnemonic != "jmp" else ""
        text = f"{insn.mnemonic:<6} {insn.op_str}{how}"
        yield f"{prefix(number)}{'ifetch':<12}{insn.size:>2} byte(s) @ 0x{insn.address:016x} {first:<20} {text}"
        if rest:
            yield f"{record:>12}{number:>12}: {TID:>11} {'':<43}{rest}"
        for name, accesses in (("read", reads), ("write", writes)):
            for address, size in accesses:
                yield (f"{prefix(number)}{name:<12}{size:>2} byte(s) @ 0x{address:016x} by PC 0x{insn.address:016x}")
    yield f"{prefix(len(run))}<thread {TID} exited>"
    yield "View tool results:"
    yield f"{len(run):>15} : total instructions"


if __name__ == "__main__":
    run = list(steps(*sys.argv[1:3]))
    afters = [step.insn.address for step in run[1:]] + [0]
    here = Path(__file__).parent
    octets = b"".join(champsim(step, after) for step, after in zip(run, afters, strict=True))
    (here / "walk.champsimtrace.xz").write_bytes(lzma.compress(octets))
    (here / "walk.view.xz").write_bytes(lzma.compress("\n".join(view(run)).encode() + b"\n"))
    print(len(run), "instructions")
