"""A specification sheet: what can be read of a machine without having it, as a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, inspect

from numasim.errors import UserError
from numasim.machine import schema

Count = Annotated[int, Meta(ge=1, le=256)]


class Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; its keys are the fields. A value of 0 is one that the sheet does not state."""


class MemorySheet(Sheet, frozen=True, kw_only=True):
    """`[memory]`. mts: million transfers a second.  channels: a socket's, populated.  ranks: a channel's.
    size_bytes: of the whole machine. 0: not stated."""

    generation: Literal["DDR3", "DDR4", "DDR5"]
    mts: Annotated[int, Meta(ge=0, le=20_000)] = 0
    channels: Annotated[int, Meta(ge=0, le=32)] = 0
    ranks: Annotated[int, Meta(ge=1, le=4)] = 2
    size_bytes: Annotated[int, Meta(ge=0, le=2**46)] = 0


class LinkSheet(Sheet, frozen=True, kw_only=True):
    """`[links]` between sockets. gts: billion transfers a second and lane.  count: links of a pair, wired. 0: not
    stated."""

    kind: Literal["qpi", "upi", "xgmi"]
    gts: Annotated[float, Meta(ge=0, le=200)] = 0.0
    count: Annotated[int, Meta(ge=0, le=8)] = 0


class CxlSheet(Sheet, frozen=True, kw_only=True):
    """`[[cxl]]`: a memory without CPUs behind PCIe. gts: billion transfers a second and lane."""

    socket: Annotated[int, Meta(ge=0, le=7)] = 0
    size_bytes: Annotated[int, Meta(ge=2**21, le=2**44)]
    lanes: Annotated[int, Meta(ge=1, le=16)] = 8
    gts: Annotated[float, Meta(gt=0, le=200)] = 32.0


class Spec(Sheet, frozen=True, kw_only=True):
    """A machine as its specification sheet has it.

    family: of `calibration/families`, or a file of that form.  cores: a socket's.  frequency_ghz: with all cores busy.
    l3_bytes: a socket's.  domains_per_socket: L3 domains (CCX, sub-NUMA clusters).  twin_of: other hosts that are this
    box, or nearly. 0: not stated.
    """

    name: Annotated[str, Meta(min_length=1)]
    description: str = ""
    family: str
    sockets: Annotated[int, Meta(ge=1, le=8)]
    cores: Annotated[int, Meta(ge=0, le=256)] = 0
    threads_per_core: Annotated[int, Meta(ge=1, le=4)] = 1
    frequency_ghz: Annotated[float, Meta(ge=0, le=10)] = 0.0
    l3_bytes: Annotated[int, Meta(ge=0, le=2**34)] = 0
    nodes_per_socket: Annotated[int, Meta(ge=1, le=16)] = 1
    domains_per_socket: Annotated[int, Meta(ge=0, le=16)] = 0
    memory: MemorySheet
    links: LinkSheet | None = None
    cxl: tuple[CxlSheet, ...] = ()
    twin_of: tuple[str, ...] = ()
    sources: dict[str, str] = {}


def parsed(path: str | Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file. what: what it is to be. Raises UserError."""
    shown = str(path)
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", shown, f"{what} in TOML") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"is not TOML: {error}", shown, f"{what} in TOML") from None


def load(path: str | Path) -> Spec:
    """Read a specification sheet; a family that is a file is looked for beside it.

    Raises UserError, naming file, key and what was expected.
    """
    sheet = from_tables(parsed(path, "a specification sheet"), str(path))
    if not sheet.family.endswith(".toml"):
        return sheet
    return msgspec.structs.replace(sheet, family=str(Path(path).parent / sheet.family))


def from_tables(raw: Mapping[str, object], file: str = "specification") -> Spec:
    """A sheet from nested dicts, as tomllib gives them. Raises UserError."""
    place = schema.Place(file)
    raw = dict(raw)
    parts = {"links": LinkSheet, "cxl": CxlSheet}  # optional ones, which the machine's schema does not know of
    found: dict[str, object] = {}
    if "links" in raw:
        found["links"] = schema.checked(raw.pop("links"), inspect.type_info(LinkSheet), "links", place)
    cxl = raw.pop("cxl", [])
    if not isinstance(cxl, list):
        raise UserError("is no list of tables", place("cxl"), "[[cxl]]")
    found["cxl"] = [schema.checked(one, inspect.type_info(CxlSheet), "cxl", place) for one in cxl]
    kind = inspect.type_info(Spec)
    assert isinstance(kind, inspect.StructType)
    rest = inspect.StructType(Spec, tuple(field for field in kind.fields if field.name not in parts))
    plain = schema.checked(raw, rest, "", place)
    assert isinstance(plain, Mapping)
    sheet = msgspec.convert({**plain, **found}, Spec)
    _check(sheet, place)
    return sheet


def _check(sheet: Spec, place: schema.Place) -> None:
    if sheet.sockets > 1 and sheet.links is None:
        raise UserError(f"{sheet.sockets} sockets and no links", place("links"), "a table [links] with kind")
    domains = sheet.domains_per_socket or sheet.nodes_per_socket
    if domains % sheet.nodes_per_socket:
        what = f"{sheet.nodes_per_socket} nodes cannot share {domains} domains evenly"
        raise UserError(what, place("nodes_per_socket"), "nodes_per_socket to divide domains_per_socket")
    if sheet.cores % domains:
        low = sheet.cores // domains * domains
        some = f"{low} or {low + domains}" if low else f"{domains}"
        raise UserError(f"{sheet.cores} cores in {domains} domains", place("cores"), f"as many in each: {some}")
    for one in sheet.cxl:
        if one.socket >= sheet.sockets:
            raise UserError(f"no socket {one.socket}", place("cxl.socket"), f"0 to {sheet.sockets - 1}")
