"""aarch64: what an instruction reads and writes, from capstone's account of it, with that account's gaps filled.

The gaps (capstone 5.0): atomics (ldadd, swp, cas ...) have no account of their registers, compares write their first
operand, `cbz` reads the flags, whole-register `ld1` reads its destination, `ret` reads nothing, `svc` writes lr.
"""

import functools
from typing import Any

from numasim.traces.code import latency
from numasim.traces.code.effects import APART, ATOMIC, BRANCH, COPY, INDIRECT, PREFETCH, STORES, SYSCALL, Effects

LR, SP, NZCV, VECTOR, PREDICATE = 30, 31, 32, 33, 65
ZERO = -1
ATOMICS = ("ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin", "swp")
NO_RESULT = ("stadd", "stclr", "steor", "stset", "stsmax", "stsmin", "stumax", "stumin")
COMPARES = ("cmp", "cmn", "tst", "ccmp", "ccmn", "fcmp", "fcmpe", "fccmp", "fccmpe")
EXCLUSIVE = ("stxr", "stlxr", "stxp", "stlxp", "stxrb", "stlxrb", "stxrh", "stlxrh")


@functools.cache
def number_of(name: str) -> int:
    """Number of a register by its name; -1 for the zero register and for those that are not followed."""
    special = {"sp": SP, "wsp": SP, "fp": 29, "lr": LR, "nzcv": NZCV}
    if name in special:
        return special[name]
    if name[1:].isdigit():
        place = {"x": 0, "w": 0, "p": PREDICATE} | dict.fromkeys("vqdshbz", VECTOR)
        return place[name[0]] + int(name[1:]) if name[0] in place else -1
    return -1


def effects(insn: Any) -> Effects:
    """What one instruction, disassembled by capstone with details, reads and writes."""
    from capstone import arm64

    name = insn.mnemonic
    registers = [(number_of(insn.reg_name(o.reg)), o.access) for o in insn.operands if o.type == arm64.ARM64_OP_REG]
    memory = [o.mem for o in insn.operands if o.type == arm64.ARM64_OP_MEM]
    address = tuple(n for m in memory for n in (number_of(insn.reg_name(r)) for r in (m.base, m.index) if r) if n >= 0)
    e = Effects(address=address, latency=latency.cycles("aarch64", name), size=insn.size)
    if name in ("prfm", "prfum"):
        return e._replace(address=(), flags=PREFETCH)
    if name == "svc":
        return e._replace(writes=(0,), flags=SYSCALL)
    if name in ("b", "bl", "br", "blr", "ret") or name[:3] in ("bra", "blr", "ret"):
        link = (LR,) if name.startswith("bl") else ()
        target = tuple(n for n, _ in registers)
        return e._replace(writes=link, flags=APART | (INDIRECT if target and not name.startswith("ret") else 0))
    if name.startswith(("b.", "cbz", "cbnz", "tbz", "tbnz")):
        return e._replace(data=tuple(n for n, _ in registers if n >= 0) or (NZCV,), flags=BRANCH)
    return _ordinary(e, name, insn, registers, memory)


def _ordinary(e: Effects, name: str, insn: Any, registers: list[tuple[int, int]], memory: list[Any]) -> Effects:
    """All but branches, prefetches and system calls."""
    from capstone import arm64

    reads = [n for n, access in registers if access & 1]
    writes = [n for n, access in registers if access & 2]
    flags = ATOMIC if name in EXCLUSIVE else STORES if name in ("stlr", "stlrb", "stlrh") else 0
    base = name.rstrip("hb")
    for suffix in ("al", "a", "l", ""):
        stem = base.removesuffix(suffix) if suffix else base
        if memory and (stem in ATOMICS or stem in NO_RESULT or stem in ("cas", "casp")):
            numbers = [n for n, _ in registers]
            flags = ATOMIC | (STORES if stem == "swp" else 0)
            half = max(len(numbers) // 2, 1)
            reads = numbers if stem.startswith("cas") else numbers[:1]
            writes = [] if stem in NO_RESULT else numbers[:half] if stem.startswith("cas") else numbers[1:]
            break
    if name in COMPARES:
        reads, writes = [n for n, _ in registers], []
    if name.startswith("ld") and memory and registers and not flags & ATOMIC:
        lane = "]" in insn.op_str.partition("}")[2].partition(",")[0]
        reads = [n for n in reads if lane and n >= VECTOR]
    implied = [number_of(insn.reg_name(i)) for i in insn.regs_read]
    changed = [number_of(insn.reg_name(i)) for i in insn.regs_write]
    pairs: tuple[tuple[int, int], ...] = ()
    if insn.writeback and e.address:
        pairs = ((e.address[0], e.address[0]),)
        writes = [n for n in writes if n != e.address[0]]
    constants = [o.imm for o in insn.operands if o.type == arm64.ARM64_OP_IMM]
    constant = (
        -1 if name != "mov" or len(writes) != 1 else max(constants[0], -1) if constants else COPY if reads else -1
    )
    return e._replace(
        data=tuple(dict.fromkeys(n for n in (*reads, *implied) if n >= 0)),
        writes=tuple(dict.fromkeys(n for n in (*writes, *changed) if n >= 0)),
        pairs=pairs,
        pair_latency=1,
        load_latency=int(any(n >= VECTOR for n in writes)),  # 5 cycles against 4
        flags=flags,
        constant=constant,
    )
