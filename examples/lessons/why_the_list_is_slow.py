"""Why is a linked list slow, and how much of that is the other node's fault?

400,000 elements are walked once, out of caches that hold none of them: as a slice of values, and as Go's container/list
with its elements in the order of allocation or in any order; with the memory on the core's own node and on the other;
in pages of 4 KiB and of 2 MiB. Each bar is the time an element takes, by cause.

    python examples/lessons/why_the_list_is_slow.py
"""

import numasim as ns

ELEMENTS = 400_000
KINDS = {
    "slice": ("slice", {}),
    "list in order": ("list", {"order": "sequential"}),
    "list shuffled": ("list", {"order": "shuffled"}),
}
LETTERS = {
    "t": ("translation", ["tlb_walk"]),
    "L": ("link", ["link", "link_wait"]),
    "M": ("memory", ["memory", "memory_wait", "refresh"]),
    "f": ("fabric", ["fabric"]),
    "c": ("core", ["compute", "branch"]),
    ".": ("caches", ["l1", "l2", "l3", "fill_wait"]),
}
NS_A_LETTER = 2


def an_element(machine: object, kind: str, node: str, pages: str) -> dict[str, float]:
    """Nanoseconds an element of a walk takes, by cause."""
    workload, keys = KINDS[kind]
    walk = ns.run(machine, workload, **keys, length=ELEMENTS, membind=node, pages=pages, warmup=0, laps=1).operation
    return {cause: time / ELEMENTS for cause, time in walk.stack_ns.items()}


def bar(stack: dict[str, float]) -> str:
    """A letter of its cause for every 2 ns."""
    parts = {letter: sum(stack[cause] for cause in causes) for letter, (_, causes) in LETTERS.items()}
    return "".join(letter * round(part / NS_A_LETTER) for letter, part in parts.items())


machine = ns.machine("icx-8360y-2s")
print("ns an element; 2 ns a letter:", ", ".join(f"{letter} {what}" for letter, (what, _) in LETTERS.items()))
for kind in KINDS:
    for node, where in (("0", "own node"), ("1", "other node")):
        for pages in ("4k", "2m"):
            stack = an_element(machine, kind, node, pages)
            print(f"{kind:13}  {where:10} {pages} {sum(stack.values()):5.1f} {bar(stack)}".rstrip())
