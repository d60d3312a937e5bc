"""Cycles from an instruction's inputs to its outputs, by the instruction's name.

x86-64: Ice Lake (server), from LLVM's scheduling model of it (llvm/lib/Target/X86/X86SchedIceLake.td), which rests on
measurements published at uops.info; its figures of integer division are Skylake's, so those are Agner Fog's for Ice
Lake ("Instruction tables", agner.org/optimize: div r32 12, div r64 15). aarch64: Neoverse N1, from LLVM's
AArch64SchedNeoverseN1.td, after Arm's "Neoverse N1 Software Optimization Guide". What is not named takes the one
cycle of simple integer and logic instructions. Loads are left out: the simulated machine says how long they take.
"""

import functools
import re

X86 = (
    (r"(i?div)$", 15),
    (r"mulx|imul|bsf|bsr|popcnt|lzcnt|tzcnt|crc32|sh[lr]d|pdep|pext", 3),  # WriteIMul64Reg WriteBSF WriteCRC32 WriteSHD
    (r"mul$", 4),  # WriteIMul64
    (r"xchg", 2),  # WriteXCHG
    (r"cmpxchg", 5),  # WriteCMPXCHG
    (r"bextr|movmsk|v?pmovmskb|v?movmskp[sd]", 2),  # WriteBEXTR WriteVecMOVMSK
    (r"cpuid|rdtsc|rdtscp|xgetbv|rdrand|rdseed|syscall", 100),  # WriteSystem
    (r"v?sqrt[ps]d", 18),  # WriteFSqrt64
    (r"v?sqrt[ps]s", 12),  # WriteFSqrt
    (r"v?div[ps]d", 14),  # WriteFDiv64
    (r"v?div[ps]s", 11),  # WriteFDiv
    (r"v?dpp[sd]", 13),  # WriteDPPS
    (r"v?pmulld", 10),  # WritePMULLD
    (r"v?(pmul|pmadd)", 5),  # WriteVecIMul
    (r"v?round[ps]|v?rndscale", 8),  # WriteFRnd
    (r"v?cvts[sd]2s[sd]", 3),  # WriteCvtSS2SD
    (r"v?cvtt?(si2|s[sd]2[su])", 6),  # WriteCvtSD2I; from integers 4 (WriteCvtI2SD) and a move
    (r"v?cvt", 4),  # WriteCvtI2PS
    (r"v?u?comis[sd]|v?ptest|v?testp", 3),  # WriteFComX 2, WriteVecTest 3
    (r"v?h(add|sub)p", 6),  # WriteFHAdd
    (r"v?ph(add|sub)|v?psadbw", 3),  # WritePHAdd WritePSADBW
    (r"v?(add|sub|mul|max|min|cmp\w*|rcp|rsqrt|addsub)[ps][sd]$", 4),  # WriteFAdd WriteFMul WriteFCmp
    (r"vfn?m(add|sub)", 4),  # WriteFMA
    (r"v?perm|vp?broadcast|v(insert|extract)[fi]|vperm2", 3),  # WriteShuffle256
    (r"v?p(insr|extr)", 3),  # WriteVecInsert 2, WriteVecExtract 3
    (r"v?mov[dq]$", 2),  # WriteVecMoveToGpr
    (r"v?blendv|v?pblendv", 2),  # WriteVarBlend
    (r"v?aeskeygen", 20),  # WriteAESKeyGen
    (r"v?aes", 4),  # WriteAESDecEnc
    (r"v?pclmul", 6),  # WriteCLMul
    (r"v?pcmpestr", 18),  # WritePCmpEStrI
    (r"v?pcmpistr", 10),  # WritePCmpIStrI
    (r"fdiv|fsqrt", 15),  # x87
    (r"f(add|sub|mul|com|ucom|ild|ist|cmov)", 4),
)
AARCH64 = (
    (r"[su]div$", 20),  # N1Write_20c5_1M
    (r"[su]mulh$", 5),
    (r"(mul|madd|msub|mneg|smull|umull|smaddl|umaddl)$", 4),  # N1Write_4c3_1M; 32 bits: 2
    (r"fdiv", 15),
    (r"fsqrt", 17),
    (r"fn?m(add|sub)$|fml[as]|ml[as]$|[su]ml", 4),
    (r"fmul|frint|fcvt\w*$|[su]cvtf", 3),
    (r"fmov|mov$", 1),
    (r"umov|smov|dup|ins$", 3),
    (r"f(add|sub|abs|neg|max|min|csel|cmp|ccmp)", 2),
    (r"bfm|bfi|bfxil|extr$", 2),
    (r"crc32", 2),
    (r"aes|sha|pmull", 2),
    (r"mrs|svc", 100),
)


@functools.cache
def cycles(machine: str, name: str) -> int:
    """Cycles of an instruction by its name without prefixes; 0 for moves between vector registers and such."""
    for pattern, number in X86 if machine == "x86_64" else AARCH64:
        if re.match(pattern, name):
            return number
    return 1
