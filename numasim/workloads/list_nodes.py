"""Nodes of linked lists: their layouts, and the steps of a walk through them."""

from typing import NamedTuple

from numasim.traces.records import BRANCH, MARK
from numasim.workloads.flow import Step


class Node(NamedTuple):
    """Layout of a node: bytes without the value, offsets of its fields, whether nodes lie in one array, unaligned."""

    bytes: int
    next: int
    value: int
    packed: bool = False


# Go 1.24 container/list: Element{next, prev *Element; list *List; Value any}, 40 bytes, size class 48;
# libstdc++: _List_node{next, prev; T}, _Fwd_list_node{next; T}; packed: struct {char; next, prev; T} in an array.
NODES = {"go": Node(40, 0, 0x18), "std": Node(16, 0, 16), "forward": Node(8, 0, 8), "packed": Node(17, 1, 17, True)}

# for e := l.Front(); e != nil; e = e.Next() { s += e.Value.(int) }, compiled by Go 1.24 (16 instructions an element;
# &e.list.root is e.list). An unboxed value (a pointer, say) lies in the interface itself.
GO = {
    "front": Step("list.go Front: load l.root.next", insns=3, writes=("e",)),
    "type": Step("walk: load e.Value's type", insns=4, reads={"e": 0}),
    "data": Step("walk: load e.Value's data", insns=4, reads={"e": 0}, writes=("v",)),
    "value": Step("walk: load the boxed value", reads={"v": 0}),
    "list": Step("list.go Next: load e.list", reads={"e": 0}, writes=("l",)),
    "next": Step("list.go Next: load e.next", insns=4, reads={"e": 0}, writes=("e",)),
    "branch": Step("list.go Next: is it the root?", BRANCH, insns=2, reads={"e": 1, "l": 1}),
    "end": Step("list.go Front: load l.root.next", MARK),
}
# for (auto v : l) s += v, compiled by gcc 12 -O2 (4 instructions an element)
STD = {
    "front": Step("list::begin: load _M_next of the head", insns=3, writes=("e",)),
    "value": Step("walk: load the value", reads={"e": 0}),
    "next": Step("iterator ++: load _M_next", reads={"e": 0}, writes=("e",)),
    "branch": Step("walk: is it the head?", BRANCH, insns=2, reads={"e": 1}),
    "end": Step("list::begin: load _M_next of the head", MARK),
}
GO_FIELDS = {"type": 0x18, "data": 0x20, "list": 0x10}
BRANCH_ADDRESS = 0x4698F3
