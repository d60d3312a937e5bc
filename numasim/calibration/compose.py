"""A machine model put together: the family's core, the sheet's numbers, and values that only measurements give.

What the sheet does not state has to be chosen by the caller first (`stated`): nothing is guessed here.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import msgspec

from numasim.calibration import ddr, families
from numasim.calibration.spec import CxlSheet, Spec
from numasim.errors import UserError
from numasim.machine import Machine, from_tables

# bytes a second of a link's direction, from its transfers a second: lanes x coding / 8
LANES = {
    "qpi": (20 * 64 / 80, "20 lanes, 64 of 80 bits of a flit are data"),
    "upi": (20 * 64 / 80, "20 lanes, 64 of 80 bits of a flit are data"),
    "xgmi": (16.0, "16 lanes"),
}
CXL_FLIT = 64 / 68  # of a flit's bytes are its slots (CXL 2.0)
ASSUMED_BYTES = 64 << 30  # a node's memory, where the sheet does not say: no result hangs on it
# what every DDR table has beyond its speed bin, as models/icx-8360y-2s.toml explains it
CONTROLLER = {
    "idle_close_ns": 500.0,
    "queue_entries": 22,
    "row_hit_cap": 16,
    "write_high": 40,
    "write_low": 16,
    "starvation_ns": 400.0,
}
# a family may have another: of a channel of 64 bits, of whose two halves in DDR5 each has half
QUEUE = (
    "assumed: 22 reads a channel, half of them each of DDR5's two, as in the read pending queue of an E5-2600 "
    "(RPQ_OCCUPANCY grows by 22 a cycle at most: Intel 327043-001, 2.5)"
)


def unstated(spec: Spec) -> list[str]:
    """Dotted keys whose value the sheet does not state, though the model needs it."""
    keys = {
        "cores": spec.cores,
        "frequency_ghz": spec.frequency_ghz,
        "l3_bytes": spec.l3_bytes,
        "memory.mts": spec.memory.mts,
        "memory.channels": spec.memory.channels,
    }
    if spec.links and spec.sockets > 1:
        keys |= {"links.gts": spec.links.gts, "links.count": spec.links.count}
    return [key for key, value in keys.items() if not value]


def stated(spec: Spec, values: Mapping[str, float]) -> Spec:
    """The sheet with these dotted keys filled in."""
    for key, value in values.items():
        table, _, field = key.rpartition(".")
        if table:
            inner: Any = msgspec.structs.replace(getattr(spec, table), **{field: value})
            spec = msgspec.structs.replace(spec, **{table: inner})
        else:
            changes: dict[str, Any] = {field: value}
            spec = msgspec.structs.replace(spec, **changes)
    return spec


def compose(spec: Spec, values: Mapping[str, float] = {}, sources: Mapping[str, str] = {}) -> Machine:
    """The machine of a sheet that leaves nothing open.

    values: dotted keys of the model that measurements or relatives gave (fabric.controller_ns, ...), in place of the
    family's; sources: what to say of them. Raises UserError.
    """
    if missing := unstated(spec):
        raise UserError(f"{missing[0]} is not stated", spec.name, "a value, or a relative to take it from")
    family = families.tables(spec.family)
    said = dict(family["sources"])
    sheet = f"specified: {spec.sources.get('*', 'the specification sheet')}"
    per_socket = spec.domains_per_socket or spec.nodes_per_socket
    tables: dict[str, Any] = {
        "name": spec.name,
        "description": spec.description,
        "topology": {
            "sockets": spec.sockets,
            "domains_per_socket": per_socket,
            "cores_per_domain": spec.cores // per_socket,
            "threads_per_core": spec.threads_per_core,
            "nodes_per_socket": spec.nodes_per_socket,
        },
        "core": {"frequency_ghz": spec.frequency_ghz, **family["core"]},
        "l1d": family["l1d"],
        "l2": family["l2"],
        "l3": _l3(spec, family["l3"], per_socket),
        **{name: family[name] for name in ("tlb", "prefetch", "fabric")},
        "links": _links(spec, family["links"], per_socket),
        "memory": _memory(spec, family.get("controller", CONTROLLER)["queue_entries"]),
    }
    said = {key: text for key, text in said.items() if not key.startswith("links.")}
    said |= {"topology.*": sheet, "l3.size_bytes": sheet, "l3.slices": "specified: the sheet's size over a slice's"}
    said["core.frequency_ghz"] = f"{spec.sources.get('frequency_ghz', 'assumed: with all cores busy')}"
    queue = said.pop("controller.queue_entries", "assumed: the family's" if "controller" in family else QUEUE)
    said |= _memory_sources(spec, tables["memory"], queue) | _link_sources(spec, family, tables["links"])
    said["os.*"] = "assumed: ticks are off, so that figures compare with minima; 1.4 us a tick, AMD UG1586"
    for key, value in values.items():
        table, last = _table_of(tables, key)
        table[last] = type(table[last])(value) if last in table else value
        said[key] = sources.get(key, "assumed: given")
    return from_tables({**tables, "sources": said}, file=spec.name)


def _table_of(tables: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *path, last = key.split(".")
    for part in path:
        if part not in tables:
            raise UserError(f"no table {part!r} for {key}", "values", "keys of this machine")
        tables[part] = dict(tables[part])
        tables = tables[part]
    return tables, last


def _l3(spec: Spec, family: Mapping[str, Any], per_socket: int) -> dict[str, Any]:
    size, slice_bytes = spec.l3_bytes // per_socket, family["slice_bytes"]
    slices = size // slice_bytes
    if slices * slice_bytes != size or not slices:
        step = slice_bytes * per_socket
        low = spec.l3_bytes // step * step
        some = " or ".join(f"{size / 2**20:g} MiB" for size in (low, low + step) if size)
        expected = f"{some}: {per_socket} domains of slices of {slice_bytes / 2**20:g} MiB"
        raise UserError(f"{spec.l3_bytes} bytes of L3 a socket", f"{spec.name}: l3_bytes", expected)
    rest = {key: value for key, value in family.items() if key != "slice_bytes"}
    return {"size_bytes": size, "slices": slices, **rest}


def _links(spec: Spec, family: Mapping[str, Any], per_socket: int) -> dict[str, Any]:
    """Domains to their cluster or socket, clusters to their socket, sockets to each other, sockets to their CXL."""
    links: dict[str, Any] = {}
    domains, nodes = spec.sockets * per_socket, spec.sockets * spec.nodes_per_socket
    a_node = per_socket // spec.nodes_per_socket
    inner = [[f"domain{d}", f"socket{d // per_socket}"] for d in range(domains)]
    if per_socket > spec.nodes_per_socket > 1:
        links["gmi"] = {"pairs": [[f"domain{d}", f"cluster{d // a_node}"] for d in range(domains)], **family["gmi"]}
        inner = [[f"cluster{n}", f"socket{n // spec.nodes_per_socket}"] for n in range(nodes)]
        links["ondie"] = {"pairs": inner, **family["ondie"]}
        if spec.nodes_per_socket == 4:  # quadrants side by side, which are nearer than those across the die
            pairs = [[f"cluster{n}", f"cluster{n + 1}"] for n in range(0, nodes, 2)]
            links["neighbour"] = {"pairs": pairs, **family["ondie"]}
    elif per_socket > spec.nodes_per_socket:
        links["gmi"] = {"pairs": inner, **family["gmi"]}
    elif per_socket > 1:
        links["ondie"] = {"pairs": inner, **family["ondie"]}
    if spec.links and spec.sockets > 1:
        lanes = LANES[spec.links.kind][0]
        links[spec.links.kind] = {
            "pairs": [[f"socket{a}", f"socket{b}"] for a, b in combinations(range(spec.sockets), 2)],
            "bandwidth_gbps": round(spec.links.gts * lanes / 8, 4),
            "count": spec.links.count,
            **family["socket"],
        }
    for number, cxl in enumerate(spec.cxl):
        links[_cxl_name(number, spec.cxl)] = {
            "pairs": [[f"socket{cxl.socket}", f"cxl{number}"]],
            "latency_ns": 60.0,
            "bandwidth_gbps": round(cxl.gts * cxl.lanes / 8 * CXL_FLIT, 4),
            "request_bytes": 16,
            "data_bytes": 80,
        }
    return links


def _cxl_name(number: int, cxl: Iterable[CxlSheet]) -> str:
    return "cxl" if len(tuple(cxl)) == 1 else f"cxl{number}"


def _memory(spec: Spec, queue: int) -> dict[str, Any]:
    """queue: reads that a channel of 64 bits can choose from."""
    nodes, m = spec.sockets * spec.nodes_per_socket, spec.memory
    size = m.size_bytes // nodes if m.size_bytes else ASSUMED_BYTES
    channels = m.channels // spec.nodes_per_socket * ddr.CHANNELS[m.generation]
    if m.channels % spec.nodes_per_socket:
        what = f"{m.channels} channels for {spec.nodes_per_socket} nodes"
        raise UserError(what, f"{spec.name}: memory.channels", "as many for each node")
    main = {
        "nodes": list(range(nodes)),
        "size_bytes": size >> 21 << 21,
        "kind": "ddr",
        "channels": channels,
        "ranks": m.ranks,
        **ddr.timings(m.generation, m.mts),
        **CONTROLLER,
        "queue_entries": queue // ddr.CHANNELS[m.generation],
    }
    memory = {"dram": main}
    for number, cxl in enumerate(spec.cxl):
        memory[_cxl_name(number, spec.cxl)] = {
            **main,
            "nodes": [nodes + number],
            "vertex": f"cxl{number}",
            "size_bytes": cxl.size_bytes >> 21 << 21,
            "channels": 2,
            "ranks": 1,
            **ddr.timings("DDR5", 4800),
            "queue_entries": queue // ddr.CHANNELS["DDR5"],
        }
    return memory


def _memory_sources(spec: Spec, memory: Mapping[str, Any], queue: str) -> dict[str, str]:
    m, said = spec.memory, {}
    sheet = f"specified: {spec.sources.get('memory', spec.sources.get('*', 'the specification sheet'))}"
    for name in memory:
        key = f"memory.{name}"
        said[f"{key}.*"] = f"specified: JEDEC {m.generation}-{m.mts}, as numasim.calibration.ddr has it"
        said[f"{key}.nodes"] = said[f"{key}.kind"] = said[f"{key}.channels"] = sheet
        said[f"{key}.size_bytes"] = sheet if m.size_bytes else "assumed: not stated; no figure hangs on it"
        said[f"{key}.ranks"] = "assumed: two ranks a channel" if m.ranks == 2 else sheet
        said[f"{key}.rank_switch_ns"] = "assumed: a preamble of each side and a bubble"
        said |= {f"{key}.{part}": "assumed: usual for memory controllers; not published" for part in CONTROLLER}
        said[f"{key}.queue_entries"] = queue
    for number, _ in enumerate(spec.cxl):
        key = f"memory.{_cxl_name(number, spec.cxl)}"
        said[f"{key}.*"] = "assumed: a module of DDR5-4800 behind the link"
        said[f"{key}.vertex"] = said[f"{key}.nodes"] = said[f"{key}.size_bytes"] = sheet
        said[f"{key}.channels"] = "assumed: a module has two channels of 32 bits"
    return said


def _link_sources(spec: Spec, family: Mapping[str, Any], links: Mapping[str, Any]) -> dict[str, str]:
    said: dict[str, str] = {}
    for name in links:
        said[f"links.{name}.*"] = "assumed: a start for a fit"
        said[f"links.{name}.pairs"] = "specified: the sheet's sockets, domains and nodes"
    for name in ("gmi", "ondie"):
        told = family["sources"].get(f"links.{name}.bandwidth_gbps")
        if name in links and told:
            said[f"links.{name}.bandwidth_gbps"] = told
    if spec.links and spec.sockets > 1:
        how = LANES[spec.links.kind][1]
        told = spec.sources.get("links", spec.sources.get("*", "the specification sheet"))
        said[f"links.{spec.links.kind}.bandwidth_gbps"] = f"specified: {spec.links.gts:g} GT/s, {how} ({told})"
        said[f"links.{spec.links.kind}.count"] = f"specified: {told}"
    for number, cxl in enumerate(spec.cxl):
        name = _cxl_name(number, spec.cxl)
        said[f"links.{name}.bandwidth_gbps"] = f"specified: {cxl.gts:g} GT/s x {cxl.lanes} lanes, 64 of 68 bytes a flit"
    return said
