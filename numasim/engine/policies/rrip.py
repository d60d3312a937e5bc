"""Static re-reference interval prediction (SRRIP-HP) with two bits a way.

Source: Jaleel, Theobald, Steely, Emer, "High performance cache replacement using re-reference interval prediction",
ISCA 2010. A filled way is predicted "long" (2), a used one "near-immediate" (0), the first "distant" (3) is replaced.
"""

from typing import Any

from numasim.engine.jit import rare


@rare
def hit(order: Any, s: int, way: int) -> None:
    """The way will be used again soon."""
    order[s] &= ~(3 << 2 * way)


@rare
def filled(order: Any, s: int, way: int) -> None:
    """A new line is expected back after a long time."""
    order[s] = order[s] & ~(3 << 2 * way) | 2 << 2 * way


@rare
def victim(order: Any, s: int, ways: int) -> int:
    """The first way predicted distant; all age until there is one."""
    while True:
        for way in range(ways):
            if order[s] >> 2 * way & 3 == 3:
                return way
        for way in range(ways):
            order[s] += 1 << 2 * way
