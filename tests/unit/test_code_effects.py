"""Does an instruction read and write the registers it does? Bytes as the GNU assembler makes them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numasim.traces.code import aarch64, decode, latency
from numasim.traces.code.effects import (
    ADDRESS,
    ADDRESSES,
    APART,
    ATOMIC,
    BRANCH,
    COPY,
    DATA,
    DATAS,
    FLAGS,
    INDIRECT,
    PAIRED,
    PREFETCH,
    REGISTERS,
    REP,
    STORES,
    SYSCALL,
    UNKNOWN,
    WIDTH,
    WRITES,
    WRITTEN,
    Effects,
    row_of,
)
from numasim.traces.code.x86 import CARRY, R11, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, VECTOR, X87
from numasim.traces.code.x86 import FLAGS as F

X0, X1, X2 = VECTOR, VECTOR + 1, VECTOR + 2
CF = (CARRY, F)


def of(text: str, machine: str = "x86_64") -> Effects:
    found = decode.decode(decode.disassembler(machine), machine, bytes.fromhex(text))
    assert found is not None
    assert found.size == len(bytes.fromhex(text))
    return found


def sets(e: Effects) -> tuple[set[int], set[int], set[int]]:
    return set(e.address), set(e.data), set(e.writes)


# assembly, bytes, registers of the address, of the data, written
X86 = [
    ("mov rax, [rbx+rcx*8]", "488b04cb", {RBX, RCX}, set(), {RAX}),
    ("mov [rbx], rax", "488903", {RBX}, {RAX}, set()),
    ("lea rax, [rbx+rcx*4+8]", "488d448b08", set(), {RBX, RCX}, {RAX}),
    ("mov rax, fs:[0x28]", "64488b042528000000", set(), set(), {RAX}),
    ("mov rax, [rip+16]", "488b0510000000", set(), set(), {RAX}),
    # parts of registers are the register; what a part leaves counts as read, but 32 bits leave nothing
    ("mov eax, ebx", "89d8", set(), {RBX}, {RAX}),
    ("mov ax, bx", "6689d8", set(), {RAX, RBX}, {RAX}),
    ("mov al, bl", "88d8", set(), {RAX, RBX}, {RAX}),
    ("mov ah, bl", "88dc", set(), {RAX, RBX}, {RAX}),
    ("movzx eax, bl", "0fb6c3", set(), {RBX}, {RAX}),
    ("sete al", "0f94c0", set(), {RAX, F}, {RAX}),
    ("mov r9d, r10d", "4589d1", set(), {10}, {9}),
    # what depends on nothing
    ("xor eax, eax", "31c0", set(), set(), {RAX, *CF}),
    ("sub rcx, rcx", "4829c9", set(), set(), {RCX, *CF}),
    ("pxor xmm1, xmm1", "660fefc9", set(), set(), {X1}),
    ("xorps xmm1, xmm1", "0f57c9", set(), set(), {X1}),
    ("vpxor ymm0, ymm1, ymm1", "c5f5efc1", set(), set(), {X0}),
    ("pcmpeqd xmm0, xmm0", "660f76c0", set(), set(), {X0}),
    ("sbb eax, eax", "19c0", set(), {CARRY}, {RAX, *CF}),
    # and what looks like it
    ("xor eax, ebx", "31d8", set(), {RAX, RBX}, {RAX, *CF}),
    ("xor al, al", "30c0", set(), {RAX}, {RAX, *CF}),
    ("and eax, eax", "21c0", set(), {RAX}, {RAX, *CF}),
    ("vpxor ymm0, ymm1, ymm2", "c5f5efc2", set(), {X1, X2}, {X0}),
    # flags: the carry apart
    ("inc rax", "48ffc0", set(), {RAX}, {RAX, F}),
    ("adc rax, rbx", "4811d8", set(), {RAX, RBX, CARRY}, {RAX, *CF}),
    ("cmp rax, rbx", "4839d8", set(), {RAX, RBX}, {*CF}),
    ("cmovne rax, rbx", "480f45c3", set(), {RAX, RBX, F}, {RAX}),
    ("cmovb rax, rbx", "480f42c3", set(), {RAX, RBX, CARRY}, {RAX}),
    ("shl rax, cl", "48d3e0", set(), {RAX, RCX, *CF}, {RAX, *CF}),
    ("ucomisd xmm0, [rax]", "660f2e00", {RAX}, {X0}, {*CF}),
    ("pcmpistri xmm0, [rax], 0", "660f3a630000", {RAX}, {X0}, {RCX, *CF}),
    # what is not said in operands
    ("push rax", "50", {RSP}, {RAX}, set()),
    ("pop rbx", "5b", {RSP}, set(), {RBX}),
    ("leave", "c9", {RBP}, set(), {RBP}),
    ("div rcx", "48f7f1", set(), {RAX, RDX, RCX}, {RAX, RDX, *CF}),
    ("mul rcx", "48f7e1", set(), {RAX, RCX}, {RAX, RDX, *CF}),
    ("cqo", "4899", set(), {RAX}, {RAX, RDX}),
    ("blendvps xmm1, xmm2", "660f3814ca", set(), {X0, X1, X2}, {X1}),
    # the disassembler's gaps
    ("syscall", "0f05", set(), set(), {RAX, RCX, R11}),
    ("xlatb", "d7", {RBX, RAX}, {RAX}, {RAX}),
    ("nop [rax+rax]", "0f1f0400", set(), set(), set()),
    ("lock cmpxchg [rdi], rsi", "f0480fb137", {RDI}, {RAX, RSI}, {RAX, *CF}),
    ("lock cmpxchg16b [rdi]", "f0480fc70f", {RDI}, {RAX, RBX, RCX, RDX}, {RAX, RDX, *CF}),
    ("lock xadd [rdi], rax", "f0480fc107", {RDI}, {RAX}, {RAX, *CF}),
    ("cvtsi2sd xmm0, rax", "f2480f2ac0", set(), {RAX, X0}, {X0}),
    ("bsf rax, rbx", "480fbcc3", set(), {RAX, RBX}, {RAX, *CF}),
    ("tzcnt rax, rbx", "f3480fbcc3", set(), {RBX}, {RAX, *CF}),
    ("vaddsd xmm0, xmm1, xmm2", "c5f358c2", set(), {X1, X2}, {X0}),
    ("movsd xmm0, xmm1", "f20f10c1", set(), {X0, X1}, {X0}),
    ("vzeroupper", "c5f877", set(), set(), set()),
    ("fld qword [rax]", "dd00", {RAX}, {X87}, {X87}),
    ("fstp qword [rax]", "dd18", {RAX}, {X87}, {X87}),
    ("vpgatherdd ymm0, [rax+ymm1*4], ymm2", "c4e26d900488", {RAX, X1}, {X2}, {X0}),
    ("bt [rax], rbx", "480fa318", {RAX, RBX}, {RBX}, {*CF}),
    # strings
    ("movsq", "48a5", {RSI, RDI}, set(), set()),
    ("rep stosq", "f348ab", {RDI, RCX}, {RAX}, set()),
    ("repe cmpsb", "f3a6", {RSI, RDI, RCX}, set(), {*CF}),
    ("lodsb", "ac", {RSI}, {RAX}, {RAX}),
]


@pytest.mark.parametrize(("text", "code", "address", "data", "writes"), X86, ids=[row[0] for row in X86])
def test_x86_registers(text: str, code: str, address: set[int], data: set[int], writes: set[int]) -> None:
    assert sets(of(code)) == (address, data, writes)


@pytest.mark.parametrize(
    ("text", "code", "pairs"),
    [
        ("push rax", "50", {(RSP, RSP)}),
        ("leave", "c9", {(RSP, RBP)}),
        ("xchg rbx, rax", "4893", {(RBX, RAX), (RAX, RBX)}),
        ("movsq", "48a5", {(RSI, RSI), (RDI, RDI)}),
        ("rep movsb", "f3a4", {(RSI, RSI), (RDI, RDI), (RCX, RCX)}),
        ("mov rax, [rbx]", "488b03", set()),
    ],
)
def test_what_is_made_of_one_register_alone(text: str, code: str, pairs: set[tuple[int, int]]) -> None:
    assert set(of(code).pairs) == pairs


@pytest.mark.parametrize(
    ("text", "code", "flags"),
    [
        ("jne", "75fe", BRANCH),
        ("jrcxz", "e3fe", BRANCH),
        ("loop", "e2fe", BRANCH),
        ("jmp rel", "ebfe", 0),
        ("jmp rax", "ffe0", INDIRECT),
        ("jmp [rax]", "ff20", INDIRECT),
        ("call rel", "e800000000", APART),
        ("call [rax]", "ff10", APART | INDIRECT),
        ("ret", "c3", 0),
        ("syscall", "0f05", SYSCALL),
        ("prefetcht0 [rax]", "0f1808", PREFETCH),
        ("rep movsb", "f3a4", REP),
        ("movsb", "a4", 0),
        ("lock add [rdi], 1", "f0830701", ATOMIC),
        ("xchg [rdi], rax", "488707", ATOMIC | STORES),
        ("xchg rbx, rax", "4893", 0),
        ("mov [rdi], rax", "488907", 0),
    ],
)
def test_x86_kinds(text: str, code: str, flags: int) -> None:
    assert of(code).flags == flags


def test_the_number_of_a_system_call_is_known() -> None:
    assert of("b8ca000000").constant == 202  # mov eax, 202
    assert of("b83c000000").constant == 60
    assert of("89d8").constant == COPY  # mov eax, ebx
    for other in ("488b03", "88d8", "66b80100", "83c001"):  # mov rax, [rbx]; mov al, bl; mov ax, 1; add eax, 1
        assert of(other).constant == -1


LR, SP, NZCV, V0, V1, V2 = aarch64.LR, aarch64.SP, aarch64.NZCV, aarch64.VECTOR, aarch64.VECTOR + 1, aarch64.VECTOR + 2
AARCH64 = [  # words, most significant byte first, as in Arm's manual
    ("ldr x0, [x1, x2, lsl #3]", "f8627820", {1, 2}, set(), {0}, 0),
    ("ldr x0, [x1], #8", "f8408420", {1}, set(), {0}, 0),
    ("stp x29, x30, [sp, #-16]!", "a9bf7bfd", {SP}, {29, LR}, set(), 0),
    ("str wzr, [x1]", "b900003f", {1}, set(), set(), 0),
    ("ldxr x0, [x1]", "c85f7c20", {1}, set(), {0}, 0),
    ("stxr w2, x0, [x1]", "c8027c20", {1}, {0}, {2}, ATOMIC),
    ("ldaddal x0, x2, [x1]", "f8e00022", {1}, {0}, {2}, ATOMIC),
    ("stadd x0, [x1]", "f820003f", {1}, {0}, set(), ATOMIC),
    ("swpal x0, x2, [x1]", "f8e08022", {1}, {0}, {2}, ATOMIC | STORES),
    ("casal x0, x2, [x1]", "c8e0fc22", {1}, {0, 2}, {0}, ATOMIC),
    ("stlr x0, [x1]", "c89ffc20", {1}, {0}, set(), STORES),
    ("b.ne", "54000041", set(), {NZCV}, set(), BRANCH),
    ("cbz x0", "b4000040", set(), {0}, set(), BRANCH),
    ("tbz w0, #0", "36000040", set(), {0}, set(), BRANCH),
    ("bl", "94000001", set(), set(), {LR}, APART),
    ("blr x1", "d63f0020", set(), set(), {LR}, APART | INDIRECT),
    ("ret", "d65f03c0", set(), set(), set(), APART),
    ("cmp x1, x2", "eb02003f", set(), {1, 2}, {NZCV}, 0),
    ("csel x0, x1, x2, eq", "9a820020", set(), {1, 2, NZCV}, {0}, 0),
    ("movk x0, #42, lsl #16", "f2a00540", set(), {0}, {0}, 0),
    ("bfxil x0, x1, #0, #8", "b3401c20", set(), {0, 1}, {0}, 0),
    ("eor x0, x1, x1", "ca010020", set(), {1}, {0}, 0),  # the architecture keeps this dependence
    ("fmla v0.2d, v1.2d, v2.2d", "4e62cc20", set(), {V0, V1, V2}, {V0}, 0),
    ("ld1 {v0.4s}, [x1]", "4c407820", {1}, set(), {V0}, 0),
    ("ld1 {v0.s}[0], [x1]", "0d408020", {1}, {V0}, {V0}, 0),
    ("svc #0", "d4000001", set(), set(), {0}, SYSCALL),
    ("prfm pldl1keep, [x1]", "f9800020", set(), set(), set(), PREFETCH),
]


@pytest.mark.parametrize(("text", "word", "address", "data", "writes", "flags"), AARCH64, ids=[r[0] for r in AARCH64])
def test_aarch64(text: str, word: str, address: set[int], data: set[int], writes: set[int], flags: int) -> None:
    e = of(bytes.fromhex(word)[::-1].hex(), "aarch64")
    assert (*sets(e), e.flags) == (address, data, writes, flags)


def test_a_moved_base_depends_on_itself_alone() -> None:
    assert of(bytes.fromhex("f8408420")[::-1].hex(), "aarch64").pairs == ((1, 1),)
    assert of(bytes.fromhex("a9bf7bfd")[::-1].hex(), "aarch64").pairs == ((SP, SP),)


@pytest.mark.parametrize(
    ("name", "number"),
    [("add", 1), ("imul", 3), ("mul", 4), ("div", 15), ("mulsd", 4), ("vaddpd", 4), ("divsd", 14), ("popcnt", 3)],
)
def test_cycles_of_ice_lake(name: str, number: int) -> None:
    """LLVM's X86SchedIceLake.td: WriteALU, WriteIMul64Reg, WriteIMul64, WriteFMul64, WriteFAdd64X, WriteFDiv64 ..."""
    assert latency.cycles("x86_64", name) == number


def test_rows_of_the_table() -> None:
    row = row_of(of("488b04cb"))
    assert row.shape == (WIDTH,)
    assert row[FLAGS] == 0
    assert row[ADDRESS : ADDRESS + 3].tolist() == [RBX, RCX, -1]
    assert row[DATA] == -1
    assert row[WRITES : WRITES + 2].tolist() == [RAX, -1]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@given(code=st.binary(min_size=4, max_size=15))
@settings(max_examples=1000, deadline=None)
@example(code=bytes.fromhex("7d35c992"))  # mov x29, #-80998788235265
def test_whatever_the_bytes_are_a_row_holds_it(machine: str, code: bytes) -> None:
    e = decode.decode(decode.disassembler(machine), machine, code)
    if e is not None:
        assert all(0 <= r < REGISTERS for r in (*e.address, *e.data, *e.writes, *(r for pair in e.pairs for r in pair)))
        assert 0 <= e.latency <= 127 and 0 <= e.load_latency <= 127
        assert max(len(e.address) - ADDRESSES, len(e.data) - DATAS, len(e.writes) - WRITTEN, len(e.pairs) - PAIRED) <= 0
        assert row_of(e).dtype == "int16"


class Bytes:
    """Code of which only some addresses are known."""

    machine = "x86_64"

    def __init__(self, known: dict[int, str]) -> None:
        self.known = {address: bytes.fromhex(text) for address, text in known.items()}

    def read(self, address: int, size: int) -> bytes:
        return self.known.get(address, b"")[:size]

    def forget(self) -> None:
        raise AssertionError

    def files(self) -> list:  # type: ignore[type-arg]
        return []


def test_each_kind_is_decoded_once_and_what_is_not_known_is_kind_0() -> None:
    decoder = decode.Decoder(Bytes({1: "488b04cb90", 9: "488b04cb", 20: "488b", 30: "06", 40: "31c0"}))  # 06: none
    first = decoder.kind(1, 4)
    assert first == decoder.kind(9, 4) != 0
    assert decoder.kind(40, 2) not in (0, first)
    assert [decoder.kind(*where) for where in ((2, 4), (20, 4), (30, 1), (1, 5), (1, 3))] == [0, 0, 0, 0, 0]
    assert decoder.table[0][FLAGS] == UNKNOWN
    assert decoder.table[first].tolist() == row_of(of("488b04cb")).tolist()


def test_the_table_grows() -> None:
    decoder = decode.Decoder(Bytes({i: f"48c7c0{i:08x}" for i in range(3000)}))
    assert [decoder.kind(i, 7) for i in range(3000)] == list(range(1, 3001))
    assert len(decoder.table) >= 3001
