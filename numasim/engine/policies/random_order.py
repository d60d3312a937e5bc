"""Random replacement, from a counter a set hashed with the set's number: no set's draws depend on another's."""

from typing import Any

from numasim.engine.jit import rare


@rare
def victim(order: Any, s: int, ways: int) -> int:
    """A way at random. The hash is the finaliser of a 32-bit Murmur3, public domain by Austin Appleby."""
    order[s] += 1
    x = (order[s] * 0x9E3779B1 ^ s * 0x85EBCA6B) & 0xFFFFFFFF
    x = (x ^ x >> 16) * 0x45D9F3B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0x45D9F3B & 0xFFFFFFFF
    return ((x >> 8) * ways) >> 24
