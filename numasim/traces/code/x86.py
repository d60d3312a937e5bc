"""x86-64: what an instruction reads and writes, from capstone's account of it, with that account's gaps filled.

A log says whether an instruction touched memory, and where; here is only which registers carry what. The gaps
(capstone 5.0): `lock cmpxchg`, `syscall` and `xlatb` write or read nothing, `xadd` no flags, `nop` has an operand in
memory, `cmov`, `bsf`, scalar conversions and square roots do not read the register they may leave, or whose upper part
they do; string instructions read the direction flag and so all flags; x87 instructions leave their registers out.
"""

import functools
import re
from typing import Any

from numasim.traces.code import latency
from numasim.traces.code.effects import APART, ATOMIC, BRANCH, COPY, INDIRECT, PREFETCH, REP, STORES, SYSCALL, Effects

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
R11 = 11
CARRY, FLAGS = 16, 17  # the carry flag apart from the others: inc and dec leave it
VECTOR, MASK, MMX, X87 = 18, 50, 58, 66

WIDE = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")
LOW = {"al": 0, "cl": 1, "dl": 2, "bl": 3, "spl": 4, "bpl": 5, "sil": 6, "dil": 7, "ah": 0, "ch": 1, "dh": 2, "bh": 3}
# a register with itself: nothing of it is left (Intel's optimization manual, "dependency-breaking idioms")
ZERO = re.compile(r"xor|sub|v?(pxor[dq]?|xorp[sd]|psub[bwdq]|pcmp(gt|eq)[bwdq])")
NOTHING = re.compile(
    r"nop|endbr\d\d|vzero(upper|all)|emms|[mls]fence|pause|f?wait|hlt|ud2|int3|clflush(opt)?|clwb"
    r"|fx(save|rstor)(64)?|x(save|savec|saves|saveopt|rstor|rstors)(64)?"
)
KEEPS = re.compile(r"cmov\w+|bs[fr]|cvt(si2s[sd]|ss2sd|sd2ss)|(sqrt|rcp|rsqrt|round)s[sd]")
STRING = {"movs": (RSI, RDI), "cmps": (RSI, RDI), "stos": (RDI,), "lods": (RSI,), "scas": (RDI,)}
REPEATS = (0xF2, 0xF3)
LOCK = 0xF0


@functools.cache
def number_of(name: str) -> tuple[int, int]:
    """Number of a register by its name, and the bytes of it that the name means; (-1, 0) for one not followed."""
    if name in WIDE:
        return WIDE.index(name), 8
    if name in LOW:
        return LOW[name], 1
    if "r" + name in WIDE:  # ax
        return WIDE.index("r" + name), 2
    if name[:1] == "e" and "r" + name[1:] in WIDE:
        return WIDE.index("r" + name[1:]), 4
    kind, digits = name.rstrip("0123456789dwb()"), name.lstrip("rxyzmkst(").rstrip("dwb)")
    if digits.isdigit():
        place = {"r": 0, "xmm": VECTOR, "ymm": VECTOR, "zmm": VECTOR, "k": MASK, "mm": MMX}.get(kind, -1)
        if kind == "st":
            return X87, 10
        if place >= 0:
            return place + int(digits), {"d": 4, "w": 2, "b": 1}.get(name[-1], 8) if kind == "r" else 16
    return (X87, 10) if name == "st" else (-1, 0)


def effects(insn: Any) -> Effects:
    """What one instruction, disassembled by capstone with details, reads and writes."""
    from capstone import x86

    name = insn.mnemonic.split()[-1]
    registers = [(*number_of(insn.reg_name(o.reg)), o.access) for o in insn.operands if o.type == x86.X86_OP_REG]
    memory = [o.mem for o in insn.operands if o.type == x86.X86_OP_MEM]
    constants = [o.imm for o in insn.operands if o.type == x86.X86_OP_IMM]
    address = _known(insn, [r for m in memory for r in (m.base, m.index)])
    cycles = latency.cycles("x86_64", name)
    e = Effects(address=address, latency=cycles, size=insn.size)
    if name.startswith(("prefetch", "nop", "hint", "cldemote")) or NOTHING.fullmatch(name):
        return e._replace(address=(), flags=PREFETCH if name.startswith("prefetch") else 0)
    if name in ("syscall", "sysenter", "int"):
        return e._replace(writes=(RAX, RCX, R11), flags=SYSCALL)
    if name[:4] in STRING and len(name) == 5 and all(n < CARRY for n, _, _ in registers):  # movsd is two instructions
        return _string(e, name[:4], insn.prefix[0] in REPEATS)
    if name in ("push", "pop", "call", "ret", "leave", "xlatb", "lcall", "retf", "pushfq", "popfq", "jmp"):
        return _stack(e, name, registers, bool(memory), bool(constants))
    if name[0] == "j" or name.startswith("loop"):
        return _branch(e, name, _tested(insn))
    return _ordinary(e, name, insn, registers, bool(memory), constants)


def _known(insn: Any, ids: list[int]) -> tuple[int, ...]:
    """Numbers of these of capstone's registers, each once, those that are not followed left out."""
    numbers = (number_of(insn.reg_name(i))[0] for i in ids if i)
    return tuple(dict.fromkeys(n for n in numbers if n >= 0))


def _tested(insn: Any) -> tuple[int, ...]:
    """CARRY and FLAGS as far as the instruction reads them (the direction flag is not followed)."""
    from capstone import x86

    others = x86.X86_EFLAGS_TEST_OF | x86.X86_EFLAGS_TEST_SF | x86.X86_EFLAGS_TEST_ZF | x86.X86_EFLAGS_TEST_PF
    carry = insn.eflags & x86.X86_EFLAGS_TEST_CF
    return (CARRY,) * bool(carry) + (FLAGS,) * bool(insn.eflags & others)


def _set(insn: Any) -> tuple[int, ...]:
    """CARRY and FLAGS as far as the instruction writes them."""
    from capstone import x86

    how = ("MODIFY", "RESET", "SET", "UNDEFINED")
    of = {
        f: sum(getattr(x86, f"X86_EFLAGS_{h}_{f}", 0) for h in how) & insn.eflags
        for f in ("CF", "OF", "SF", "ZF", "PF")
    }
    return (CARRY,) * bool(of.pop("CF")) + (FLAGS,) * any(of.values())


def _string(e: Effects, name: str, repeats: bool) -> Effects:
    """movs, cmps, stos, lods, scas: addresses in rsi and rdi, which go on."""
    pointers = STRING[name]
    counter = (RCX,) * repeats
    return e._replace(
        address=pointers + counter,
        data={"stos": (RAX,), "scas": (RAX,), "lods": (RAX,)}.get(name, ()),
        writes={"cmps": (CARRY, FLAGS), "scas": (CARRY, FLAGS), "lods": (RAX,)}.get(name, ()),
        pairs=tuple((p, p) for p in pointers + counter),
        load_latency=0 if name in ("movs", "lods") else 1,
        pair_latency=1,
        flags=REP * repeats,
    )


def _stack(e: Effects, name: str, registers: list[Any], memory: bool, constant: bool) -> Effects:
    """What uses the stack without saying so, and plain jumps. The stack pointer takes no time (the stack engine)."""
    named = tuple(n for n, _, _ in registers if n >= 0)
    stack = e._replace(address=(*e.address, RSP), pairs=((RSP, RSP),))
    indirect = INDIRECT if memory or named else 0
    match name:
        case "push":
            return stack._replace(data=named)
        case "pushfq":
            return stack._replace(data=(CARRY, FLAGS))
        case "pop":
            return stack._replace(writes=named)
        case "popfq":
            return stack._replace(writes=(CARRY, FLAGS))
        case "call" | "lcall":
            return stack._replace(flags=APART | indirect)
        case "ret" | "retf":
            return stack
        case "leave":
            return e._replace(address=(RBP,), writes=(RBP,), pairs=((RSP, RBP),), pair_latency=1)
        case "xlatb":
            return e._replace(address=(RBX, RAX), data=(RAX,), writes=(RAX,))
    return e._replace(flags=indirect)  # jmp


def _branch(e: Effects, name: str, tested: tuple[int, ...]) -> Effects:
    """Conditional branches."""
    if name in ("jrcxz", "jecxz", "jcxz"):
        return e._replace(data=(RCX,), flags=BRANCH)
    if name.startswith("loop"):
        return e._replace(data=(RCX, *(() if name == "loop" else (FLAGS,))), writes=(RCX,), flags=BRANCH)
    return e._replace(data=tested, flags=BRANCH)


def _constant(name: str, constants: list[int], memory: bool, registers: int, merged: list[int]) -> int:
    """See Effects: of mov."""
    if name not in ("mov", "movabs") or memory or merged:
        return -1
    return constants[0] & 0xFFFFFFFF if constants else COPY if registers == 2 else -1


def _ordinary(e: Effects, name: str, insn: Any, registers: list[Any], memory: bool, constants: list[int]) -> Effects:
    """All that says in its operands, or in capstone's lists, what it uses."""
    bare = name[1:] if name[0] == "v" else name
    reads = [n for n, _, access in registers if access & 1 and n >= 0]
    writes = [n for n, _, access in registers if access & 2 and n >= 0]
    implied = [insn.reg_name(i) for i in insn.regs_read]
    reads += [number_of(r)[0] for r in implied if number_of(r)[0] >= 0]
    written = [number_of(insn.reg_name(i)) for i in insn.regs_write]
    writes += [n for n, _ in written if n >= 0]
    merged = [n for n, width, access in registers if access & 2 and width <= 2 and n < CARRY and n >= 0]
    merged += [n for n, width in written if 0 < width <= 2 and n >= 0]
    fpu = name[0] == "f"  # no integer or vector instruction begins so
    tested, changed = ((), ()) if fpu else (_tested(insn), _set(insn))
    if "rflags" in implied and name in ("lahf", "pushf"):
        tested = (CARRY, FLAGS)
    if not changed and "rflags" in map(insn.reg_name, insn.regs_write) and name not in ("std", "cld"):
        changed = (CARRY, FLAGS)  # capstone does not say which
    swap = name == "xchg" and not memory and len(registers) == 2
    if swap:
        a, b = registers[0][0], registers[1][0]
        return e._replace(pairs=((a, b), (b, a)), pair_latency=e.latency)
    if name == "lea":
        return e._replace(address=(), data=(*e.address, *merged), writes=tuple(writes))
    if "cmpxchg" in name:
        wide = (RAX, RDX, RBX, RCX) if name[-1] == "b" else (RAX,)
        reads += wide
        writes += [RAX, CARRY, FLAGS, *((RDX,) if len(wide) > 1 else ())]
    if name == "xadd":
        changed = (CARRY, FLAGS)
    if fpu:
        reads.append(X87)
        writes.append(X87)
        changed = (CARRY, FLAGS) if "comi" in name else ()
        tested = (CARRY, FLAGS) if name.startswith("fcmov") else ()
    if KEEPS.fullmatch(name):
        reads += writes
    if name in ("shl", "shr", "sar", "sal", "rol", "ror", "rcl", "rcr") and len(registers) and registers[-1][1] == 1:
        tested = (CARRY, FLAGS)  # a count of 0 leaves them
    sources = [n for n, _, access in registers if access & 1][-2:]
    same = len(registers) >= 2 and len({n for n, _, _ in registers[-2:]}) == 1 and not memory
    if ZERO.fullmatch(name) and same and registers[-1][1] >= 4:
        reads, merged = [], []
    elif name == "sbb" and same and registers[-1][1] >= 4:
        reads = []  # of the carry flag only
    elif name in ("bt", "bts", "btr", "btc") and memory and sources:
        e = e._replace(address=(*e.address, *sources))  # the bit's number is part of the address
    vector = max((width for n, width, _ in registers if VECTOR <= n < MASK), default=0)
    plain = bare.startswith("mov") or name.startswith("lddqu")
    atomic = insn.prefix[0] == LOCK or (name == "xchg" and memory)
    return e._replace(
        data=tuple(dict.fromkeys([*reads, *merged, *tested])),
        writes=tuple(dict.fromkeys([*writes, *changed])),
        load_latency=int(vector > 0) + (0 if plain or (name[:3] == "pop" and len(name) == 3) else e.latency),
        flags=(ATOMIC if atomic else 0) | (STORES if name == "xchg" else 0),
        constant=_constant(name, constants, memory, len(registers), merged),
    )
