"""Timings of DDR3, DDR4 and DDR5 channels by their speed.

JEDEC's speed bins (JESD79-3, JESD79-4, JESD79-5) of the usual registered modules: 8 Gb dies (DDR3: 4 Gb, DDR5: 16 Gb),
8 bits wide. DDR4-2933, DDR4-3200 and DDR5-4800 are as CMU-SAFARI/ramulator2 @c5b1c3a4 and umd-memsys/DRAMsim3
@29817593 have them, but for DDR5's tFAW, which is 32 clocks for pages of 1 KiB; the other bins are general knowledge of
the standards.
"""

from typing import NamedTuple

from numasim.errors import UserError


class Bin(NamedTuple):
    """A speed bin. clocks of a column, row opening and row closing; ns a row stays open at least; clocks between
    bursts of a bank group; ns in which four rows may be opened."""

    mts: int
    cl: int
    rcd: int
    rp: int
    ras_ns: float
    ccd_l: int
    faw_ns: float


BINS = {
    "DDR3": (Bin(1066, 7, 7, 7, 37.5, 4, 37.5), Bin(1333, 9, 9, 9, 36.0, 4, 30.0), Bin(1600, 11, 11, 11, 35.0, 4, 30.0),
             Bin(1866, 13, 13, 13, 34.0, 4, 27.0)),
    "DDR4": (Bin(1866, 13, 13, 13, 34.0, 5, 23.0), Bin(2133, 15, 15, 15, 33.0, 6, 21.0),
             Bin(2400, 17, 17, 17, 32.0, 6, 21.0), Bin(2666, 19, 19, 19, 32.0, 7, 21.0),
             Bin(2933, 21, 21, 21, 32.0, 8, 21.0), Bin(3200, 22, 22, 22, 32.5, 8, 21.25)),
    "DDR5": (Bin(4000, 30, 30, 30, 32.0, 10, 16.0), Bin(4400, 33, 33, 33, 32.0, 11, 14.546),
             Bin(4800, 36, 36, 36, 32.0, 12, 13.333), Bin(5600, 42, 42, 42, 32.0, 14, 11.429),
             Bin(6400, 48, 48, 48, 32.0, 16, 10.0)),
}  # fmt: skip

# by generation: bits of a channel's bus, transfers of a burst, bank groups, banks a group, bytes a row of all dies of a
# rank, ns between refreshes, ns a refresh, clocks between ranks, ns between reads and writes
FORM = {
    "DDR3": (64, 8, 1, 8, 8192, 7800.0, 260.0, 2, 7.5),
    "DDR4": (64, 8, 4, 4, 8192, 7800.0, 350.0, 3, 7.5),
    "DDR5": (32, 16, 8, 4, 4096, 3900.0, 295.0, 3, 10.0),
}
CHANNELS = {"DDR3": 1, "DDR4": 1, "DDR5": 2}  # independent channels of what a sheet calls a channel


def timings(generation: str, mts: int) -> dict[str, float | int]:
    """The keys of a `[memory.NAME]` that the generation and the speed decide. mts: million transfers a second.

    A module runs a lower speed with the timings of its clock. Raises UserError for a speed out of the table's range.
    """
    bins = BINS[generation]
    if not bins[0].mts <= mts <= bins[-1].mts:
        raise UserError(f"{generation}-{mts}", "memory.mts", f"{bins[0].mts} to {bins[-1].mts}")
    bin_ = min((b for b in bins if b.mts >= mts), key=lambda b: b.mts)
    clock = 2000.0 / mts
    bits, transfers, groups, banks, row, refi, rfc, switch, turn = FORM[generation]
    burst = transfers / 2 * clock
    if bits * transfers != 512:
        raise AssertionError("a burst is a line of 64 bytes")
    ns = {"tcl_ns": bin_.cl * clock, "trcd_ns": bin_.rcd * clock, "trp_ns": bin_.rp * clock, "tras_ns": bin_.ras_ns}
    return {
        "bank_groups": groups,
        "banks_per_group": banks,
        "row_bytes": row,
        **{key: round(value, 3) for key, value in ns.items()},
        "burst_ns": round(burst, 4),
        "tccd_l_ns": round(max(bin_.ccd_l * clock, burst) if groups > 1 else burst, 4),
        "trefi_ns": refi,
        "trfc_ns": rfc,
        "tfaw_ns": bin_.faw_ns,
        "turnaround_ns": turn,
        "rank_switch_ns": round(switch * clock, 4),
    }


def peak_gbps(generation: str, mts: int, channels: int) -> float:
    """Bandwidth of the pins of so many of a sheet's channels: bytes a transfer x transfers."""
    return channels * 8 * mts / 1000.0
