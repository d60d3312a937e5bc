"""ChampSim's binary traces into a trace file, with exact dependences: a record an instruction, its registers named.

Format: ChampSim/ChampSim, inc/trace_instruction.h (input_instr: 64 bytes; cloudsuite_instr: 96 with its padding) and
tracer/pin/champsim_tracer.cpp; little-endian: address of the instruction, is_branch, branch_taken (a byte each),
registers written (2; cloudsuite 4) and read (4), addresses written (2; 4) and read (4); 0 is none. What a register is,
and which branches are conditional: inc/instruction.h. champsim_scan.py says how the data flow is followed.

The tracer writes Intel Pin's numbers of registers (enum REG of its reg_ia32.PH), eax another one than rax: a part
counts as the whole register. Traces of other tools may number otherwise; `pin=False` takes their numbers as they are.

What such a trace cannot say: sizes (8 bytes are recorded, or what is left of the line); which registers make an address
(the scan says what is assumed); `xor r,r`, which depends on nothing but reads r; atomics, which are a load and a store.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import champsim_scan as k
from numasim.traces.readers.opening import name_of, whole_records
from numasim.traces.readers.sites import Sites
from numasim.traces.readers.summary import Summary
from numasim.traces.records import BRANCH, LOAD, MAX_BACK, MAX_INSNS, MAX_LAG, STORE

EXPECTED = "a ChampSim trace: 64 bytes an instruction (format champsim-cloudsuite: 96)"
LINE_BYTES = 64
BLOCK = 32768  # instructions read at a time
SIZES = {2: 64, 4: 96}  # bytes of an instruction, by how many registers it may write

# Pin's numbers of whole registers, and of their parts: al ah ax ... di sp; flags ip; edi dil ... eax; r8b r8w r8d ...
RDI, RSI, RBP, RSP, RBX, RDX, RCX, RAX, R8 = range(3, 12)
PARTS: tuple[int, ...] = (
    *(RAX,) * 3, *(RCX,) * 3, *(RDX,) * 3, *(RBX,) * 3, RBP, RSI, RDI, RSP, k.FLAGS, k.INSTRUCTION_POINTER,
    *(RDI,) * 2, *(RSI,) * 2, *(RBP,) * 2, *(RSP,) * 2, RBX, RDX, RCX, RAX, k.FLAGS, k.INSTRUCTION_POINTER,
    *(R8 + i // 3 for i in range(24)),
)  # fmt: skip
FIRST_PART = 27  # REG_AL; REG_R15D, the last, is 82

assert (k.LOAD, k.STORE, k.BRANCH) == (LOAD, STORE, BRANCH)  # the scan knows them by number
assert (k.BACK, k.LONGEST_LAG, k.MOST_INSNS) == (MAX_BACK, MAX_LAG, MAX_INSNS)


def convert(
    log: str | Path,
    output: str | Path,
    *,
    cloudsuite: bool = False,
    pin: bool = True,
    progress: Callable[[int], None] | None = None,
    block: int = BLOCK,
    group_rows: int = parquet.GROUP,
) -> Summary:
    """Convert a trace (plain, .gz or .xz; "-": standard input) to the trace file `output`, streaming.

    cloudsuite: the form with four registers to write. pin: registers have Pin's numbers. progress is called with the
    number of instructions read so far.
    Raises UserError, naming the byte, for a file that is no such trace, is cut short or empty; then no file is left.
    """
    destinations = 4 if cloudsuite else 2
    name, full = name_of(str(log)), np.arange(256)
    if pin:
        full[FIRST_PART : FIRST_PART + len(PARTS)] = PARTS
    with parquet.Writer(output) as writer:
        flow, rows, sites = k.start(), k.empty_rows(group_rows + k.MOST_ROWS), Sites()
        for octets in whole_records(str(log), block, SIZES[destinations]):
            words, at = octets.view(np.int64), 0
            while at < len(octets):
                at = k.scan(octets, words, destinations, full, at, flow, rows)
                if flow.now[k.ROWS] > group_rows:
                    _flush(writer, flow, rows, sites)
                elif at < len(octets):
                    where = f"{name}: byte {int(flow.now[k.INSTRUCTIONS]) * SIZES[destinations]}"
                    raise UserError(f"no instruction: {octets[at, :16].tobytes().hex(' ')}", where, EXPECTED)
            if progress:
                progress(int(flow.now[k.INSTRUCTIONS]))
        _flush(writer, flow, rows, sites)
        return _finish(writer, flow, sites, name)


def _flush(writer: parquet.Writer, flow: k.Flow, rows: k.Rows, sites: Sites) -> None:
    """Hand the filled rows to the file."""
    full = k.Rows(**{name: column[: int(flow.now[k.ROWS])] for name, column in rows._asdict().items()})
    writer.write(
        parquet.Columns(
            full.address,
            site=sites.of(full.code),
            kind=full.kind,
            size=np.where(full.kind == BRANCH, 0, np.minimum(8, LINE_BYTES - full.address % LINE_BYTES)),
            insns=full.insns,
            **{f"dep{i}": full.need[:, i] for i in range(k.NEEDS)},
            **{f"lag{i}": full.lag[:, i] for i in range(k.NEEDS)},
            fwd=full.fwd,
            taken=full.taken,
        )
    )
    flow.now[k.BASE] += flow.now[k.ROWS]
    flow.now[k.ROWS] = 0


def _finish(writer: parquet.Writer, flow: k.Flow, sites: Sites, name: str) -> Summary:
    """The end of the trace."""
    instructions, loads, stores, branches = (int(flow.now[i]) for i in (k.INSTRUCTIONS, k.LOADS, k.STORES, k.BRANCHES))
    if not loads + stores:
        raise UserError("no memory access" if instructions else "empty", name, EXPECTED)
    lost = int(flow.now[k.LOST])
    counts = {"instructions": instructions, "loads": loads, "stores": stores, "branches": branches}
    counts |= {"needs_left_out": lost, "instructions_after": int(flow.now[k.PENDING])}
    names = sites.names()
    writer.commit(parquet.Meta(reader="champsim", dependence="exact", sites=names, threads=[1], counts=counts))
    notes: tuple[str, ...] = ("Sizes are not in such a trace: 8 bytes or less, within a line, are assumed.",)
    if lost:
        notes += (f"{lost:,} records need more than three loads; the latest three are kept.",)
    return Summary(
        reader="champsim",
        read=instructions,
        unit="instructions",
        instructions=instructions,
        loads=loads,
        stores=stores,
        branches=branches,
        records=writer.rows,
        threads=1,
        sites=len(names),
        dependence="exact",
        notes=notes,
        counts=counts,
    )
