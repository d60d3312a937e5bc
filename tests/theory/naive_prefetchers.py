"""The prefetchers that follow instructions, as a few obvious lines of Python: which lines they ask for."""


class Strides:
    """Equal steps of an instruction: after three of them in a row the next `distance` steps are wanted, four at most
    at a time, each a line at least, as far as `reachable` says; `granted` may refuse."""

    def __init__(self, distance: int) -> None:
        self.distance = distance
        self.last: dict[int, int] = {}  # by instruction: the address before
        self.steps: dict[int, list[int]] = {}
        self.upto: dict[int, int] = {}  # the furthest address asked for

    def load(self, site: int, va: int, reachable: range) -> list[int]:
        """Addresses asked for when the instruction loads from `va`."""
        if site not in self.last:
            self.last[site], self.steps[site] = va, []
            return []
        step = va - self.last[site]
        if step == 0:
            return []
        self.last[site] = va
        if step not in self.steps[site]:
            self.steps[site], self.upto[site] = [step], va
            return []
        self.steps[site].append(step)
        if len(self.steps[site]) < 3 or va // 64 == (va - step) // 64:
            return []
        pace = max(abs(step), 64) * (1 if step > 0 else -1)
        ahead = max((self.upto[site] - va) // pace, 0)
        wanted = [va + pace * k for k in range(ahead + 1, min(ahead + 4, self.distance) + 1)]
        asked = []
        for address in wanted:
            if address not in reachable:
                break
            asked.append(address)
        self.upto[site] = asked[-1] if asked else va + pace * ahead
        return asked


class Regions:
    """Does an instruction fill the pages it goes through? Then the line after each that it touches is wanted."""

    def __init__(self) -> None:
        self.page: dict[int, int] = {}
        self.lines: dict[int, set[int]] = {}
        self.fills: dict[int, bool] = {}

    def load(self, site: int, va: int) -> list[int]:
        """Addresses asked for when the instruction loads from `va`."""
        page, line = va // 4096, va // 64
        if self.page.get(site) != page:
            seen = self.lines.get(site, set())
            self.fills[site] = bool(seen) and 2 * sum(one + 1 in seen for one in seen) >= len(seen)
            self.page[site], self.lines[site] = page, set()
        if line in self.lines[site]:
            return []
        self.lines[site].add(line)
        return [va + 64] if self.fills[site] and (line + 1) // 64 == page else []


def up_or_down(line: int, have: set[int]) -> int | None:
    """The neighbour in the page that is fetched where `have` are there or on their way."""
    near = [other for other in (line + 1, line - 1) if other // 64 == line // 64 and other not in have]
    return near[0] if near else None
