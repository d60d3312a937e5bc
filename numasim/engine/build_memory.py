"""The part of the state beyond the L3: links and memory nodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numasim.engine import state as st
from numasim.engine.arrays import log2, ps, zeros
from numasim.engine.dram import CURVE, DDR
from numasim.engine.writes import ENTRIES, ENTRIES_BITS
from numasim.errors import UserError

NEVER = 1 << 60
GOLDEN = (5**0.5 - 1) / 2  # multiples of it are spread evenly and in no rhythm


def links(topology: Any, channels: int) -> st.Links:
    """Edges, lanes and routes."""
    edges = topology.edges
    lanes = [edge.count for edge in edges]
    hop = zeros(len(topology.vertices) ** 2)
    hop[:] = np.asarray(topology.hops, np.int64).reshape(-1)

    def column(values: Sequence[int]) -> st.Array:
        return np.array([*values, 0], np.int64)  # never empty

    resources = len(edges) + channels
    return st.Links(
        domain_vertex=column(topology.domain_vertex),
        domain_node=column(topology.domain_node),
        domain_socket=column(topology.domain_socket),
        hop=hop,
        target=column([edge.target for edge in edges]),
        latency=column([ps(edge.latency_ns) for edge in edges]),
        request=column([ps(edge.request_bytes / edge.bandwidth_gbps) for edge in edges]),
        data=column([ps(edge.data_bytes / edge.bandwidth_gbps) for edge in edges]),
        lanes=column(lanes),
        first=column([sum(lanes[:k]) for k in range(len(lanes))]),
        free=zeros(sum(lanes) + 1),
        messages=zeros(2 * len(edges) + 2),
        busy=zeros(len(edges) + 1),
        series=zeros(resources * st.SERIES),
        trackers=zeros(topology.nodes, topology.machine.fabric.remote_trackers),
        waiting=zeros(topology.nodes, -1),
        resources=resources,
        edges=len(edges),
        vertices=len(topology.vertices),
    )


def ddr_parameters(memory: Any) -> list[int]:
    """A DDR node's words, in the order dram.py names them."""
    n = memory.channels
    if memory.ranks > 8 or memory.ranks * memory.bank_groups > 64:
        raise UserError(
            f"{memory.ranks} ranks of {memory.bank_groups} bank groups", "machine", "at most 8, and 64 in all"
        )
    refresh = memory.trfc_ns > 0
    return [
        ps(memory.tcl_ns), ps(memory.trcd_ns), ps(memory.trp_ns), ps(memory.tras_ns), ps(memory.burst_ns),
        ps(memory.tccd_l_ns), ps(memory.trefi_ns) if refresh else NEVER, ps(memory.trfc_ns), ps(memory.turnaround_ns),
        ps(memory.rank_switch_ns), ps(memory.idle_close_ns), memory.queue_entries, memory.row_hit_cap,
        min(memory.write_high, ENTRIES - 8), memory.write_low, ps(memory.starvation_ns), n,
        n.bit_length() - 1 if n & n - 1 == 0 else -1, log2(memory.bank_groups, "bank_groups"),
        log2(memory.row_bytes // 64, "row_bytes / 64"), log2(memory.banks_per_group, "banks_per_group"),
        log2(memory.ranks, "ranks"), 0, 0, ps(memory.tfaw_ns),
    ]  # fmt: skip


def curve_parameters(memory: Any) -> tuple[list[int], list[int]]:
    """A curve node's words, and its latency at 64 levels of bandwidth up to the peak."""
    points = sorted(memory.curve)
    levels = np.linspace(0, memory.peak_gbps, 64)
    latency = np.interp(levels, [p[0] for p in points], [p[1] for p in points])
    words = [0] * 23
    words[4], words[16], words[22] = ps(64 / memory.peak_gbps), 1, ps(float(latency[0]))
    return words, [ps(float(v)) for v in latency]


def answers(machine: Any) -> st.Array:
    """What each node's home waits before its memory answers a domain over a link, [domain, node] ps."""
    t = machine.topology
    pairs = [(domain, node) for domain in range(t.domains) for node in range(len(machine.node_memory))]
    return np.array([ps(t.answer_ns(*pair)) for pair in pairs], np.int64)


def dram(machine: Any, groups: int) -> st.Dram:
    """All memory nodes."""
    topology, nodes = machine.topology, machine.node_memory
    counts = [memory.channels if memory.kind == "ddr" else 1 for memory in nodes]
    total = sum(counts)
    par, curve = zeros(len(nodes) * 32), zeros(len(nodes) * 64)
    chan, rank, banks = zeros(total * 16), zeros(total * 64), 0
    for node, memory in enumerate(nodes):
        words, a_channel = [], 1
        if memory.kind == "ddr":
            words, a_channel = ddr_parameters(memory), memory.ranks * memory.bank_groups * memory.banks_per_group
        else:
            words, curve[node * 64 : node * 64 + 64] = curve_parameters(memory)
        par[node * 32 : node * 32 + len(words)] = words
        for k in range(counts[node]):
            ch = sum(counts[:node]) + k
            #                             BUS READY QUEUED WRITES OVERFLOW ARMED LAST_RANK NODE FIRST_BANK
            chan[ch * 16 : ch * 16 + 9] = [0, -1, 0, 0, -1, 0, 0, node, banks]
            banks += a_channel
            for r in range(8):  # ranks refresh in turn
                if memory.kind == "ddr":
                    # channels refresh independently, each rank in its turn; even phases would beat with a chase
                    share = (k * GOLDEN + r % memory.ranks / memory.ranks) % 1
                    turn = int(words[6] * share) if memory.trfc_ns > 0 else NEVER
                    #                                       DUE UNTIL OWED ACTS ACT ...
                    rank[(ch * 8 + r) * 8 : (ch * 8 + r) * 8 + 8] = [turn, -(10**9), 0, 0, *[-(10**9)] * 4]
    bank = zeros(banks * 8)
    bank.reshape(-1, 8)[:, :6] = [-1, -(10**9), 0, 0, -1, -1]  # ROW OPENED FREE HITS TAIL BUSY
    return st.Dram(
        vertex=np.array(topology.node_vertex, np.int64),
        first=np.array([sum(counts[:k]) for k in range(len(nodes))], np.int64),
        channels=np.array(counts, np.int64),
        kind=np.array([DDR if memory.kind == "ddr" else CURVE for memory in nodes], np.int64),
        par=par,
        bank=bank,
        chan=chan,
        writes=zeros(total << ENTRIES_BITS),
        batch=zeros(total * 64),
        groups=zeros(total * 64, -(10**9)),
        rank=rank,
        nodes=len(nodes),
        all_channels=total,
        all_traffic=groups * len(nodes) * 2,
        answer=answers(machine),
        directory=np.array([ps(ns) for ns in machine.topology.directory_ns()], np.int64),
        curve=curve,
        recent=zeros(len(nodes) * 64),
        traffic=zeros(groups * len(nodes) * 2),
        busy=zeros(total * 2),
    )
