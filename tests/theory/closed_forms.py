"""What must come out, known without a simulator: caches by stack distance, queues by formula, refresh by duty cycle.

Pure functions on plain numbers. Times are in any one unit, rates in its inverse. ValueError where a formula does not
hold. Each says its formula and where it is from.
"""

import bisect
import math
from collections.abc import Callable, Hashable, Iterable, Sequence


def stack_distances(trace: Iterable[Hashable]) -> list[int]:
    """How many other lines were used since the last use of each access's line; -1 for a first use.

    The depth in the LRU stack (Mattson, Gecsei, Slutz, Traiger: Evaluation techniques for storage hierarchies, IBM
    Systems Journal 9(2), 1970), found the slow way: a list in order of last use, searched from its end.
    """
    stack: list[Hashable] = []
    distances = []
    for line in trace:
        if line in stack:
            distances.append(stack[::-1].index(line))
            stack.remove(line)
        else:
            distances.append(-1)
        stack.append(line)
    return distances


def lru_hits(trace: Iterable[Hashable], lines: int) -> int:
    """Hits of a fully associative LRU cache: the accesses with 0 <= stack distance < lines (Mattson 1970)."""
    return sum(0 <= distance < lines for distance in stack_distances(trace))


def lru_set_hit_probability(distance: int, sets: int, ways: int) -> float:
    """Chance of a hit at a stack distance if lines fall into sets at random: P(Binomial(distance, 1/sets) < ways).

    Smith: A comparative study of set associative memory mapping algorithms, IEEE TSE 4(2), 1978. Exact for a hash that
    is uniform and independent a line; with one set it is the condition of lru_hits.
    """
    if distance < 0:
        return 0.0
    return sum(_binomial(k, distance, 1 / sets) for k in range(min(ways, distance + 1)))


def cyclic_random_hit_rate(lines: int, ways: int) -> float:
    """Steady hit rate of a walk round `lines` lines in one set of random replacement.

    h = q^(lines - 1), where 1 + q + ... + q^(lines - 1) = ways. Derived here: let every other access evict a line that
    is in with the same chance 1 - q. Of the lines, the one used a accesses ago is then still in with chance q^a, these
    chances sum to the number of ways, and a line is used again after lines - 1 others. The one assumption, that the
    chance does not depend on the age, makes h too large by less than 0.01 at 12 ways and more.
    """
    if lines <= ways:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        q = (low + high) / 2
        if (1 - q**lines) / (1 - q) > ways:
            high = q
        else:
            low = q
    return low ** (lines - 1)


def cyclic_random_exact_hit_rate(lines: int, ways: int) -> float:
    """The same without that assumption, for a dozen lines at most: the stationary state of which lines are in.

    Bit 0 of a state is the line used next. A hit turns the ring by one; a miss evicts each line that is in with chance
    1/ways, then turns it. Power iteration on a chain that rests every other step, so that it cannot be periodic.
    With one line too many it is (ways - 1) / (ways + 1). Costs up to 2^lines states.
    """
    if lines <= ways:
        return 1.0
    state, moved = {(1 << ways) - 1: 1.0}, 1.0
    while moved > 1e-12:
        following = {resident: chance / 2 for resident, chance in state.items()}
        for resident, chance in state.items():
            for left, share in _after_use(resident, lines, ways):
                following[left] = following.get(left, 0.0) + chance * share / 2
        moved = sum(abs(chance - state.get(resident, 0.0)) for resident, chance in following.items())
        state = following
    return sum(chance for resident, chance in state.items() if resident & 1)


def _after_use(resident: int, lines: int, ways: int) -> list[tuple[int, float]]:
    """States after the next line of the ring was used, with their chances."""
    evicted = [0] if resident & 1 else [1 << line for line in range(lines) if resident >> line & 1]
    kept = [resident & ~line | 1 for line in evicted]
    return [(bits >> 1 | (bits & 1) << (lines - 1), 1 / len(kept)) for bits in kept]


def cyclic_lru_hit_rate(lines: int, ways: int) -> float:
    """A walk round more lines than ways never hits under LRU: its stack distance is always lines - 1 (Mattson 1970)."""
    return 1.0 if lines <= ways else 0.0


def cyclic_srrip_hit_rate(lines: int, ways: int) -> float:
    """A walk round more lines than ways never hits under SRRIP either, begun on an empty set.

    Jaleel, Theobald, Steely, Emer: High performance cache replacement using re-reference interval prediction, ISCA
    2010, section 4: new lines all get the same prediction, so that the first way with the largest one holds the oldest
    line, as in FIFO, and a first hit never comes. (BRRIP, which inserts most lines at the largest, keeps some.)
    """
    return 1.0 if lines <= ways else 0.0


def over_random_sets(rate: Callable[[int, int], float], lines: int, sets: int, ways: int) -> float:
    """Hit rate of a walk round `lines` lines hashed over many sets: the sum of P(n others) rate(n + 1, ways).

    A line shares its set with Binomial(lines - 1, 1/sets) others, and a walk round all is a walk round each set's own.
    `rate` is one of the cyclic forms above.
    """
    mean, spread = (lines - 1) / sets, math.sqrt((lines - 1) / sets)
    first, last = max(0, int(mean - 10 * spread - 10)), min(lines - 1, int(mean + 10 * spread + 10))
    return sum(_binomial(others, lines - 1, 1 / sets) * rate(others + 1, ways) for others in range(first, last + 1))


def _binomial(k: int, n: int, p: float) -> float:
    """P(k of n with chance p each), by logarithms so that n may be millions."""
    if p >= 1:
        return float(k == n)
    choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(choices + k * math.log(p) + (n - k) * math.log1p(-p))


def mm1_wait(rate: float, service: float) -> float:
    """Mean wait before service with Poisson arrivals and exponential service: rho s / (1 - rho).

    Kleinrock: Queueing Systems, volume I, 1975, section 3.2.
    """
    rho = _utilisation(rate, service)
    return rho * service / (1 - rho)


def mg1_wait(rate: float, service: float, service_square: float) -> float:
    """Mean wait with Poisson arrivals and any service of that mean and mean square: rate E[s^2] / (2 (1 - rho)).

    Pollaczek and Khinchine; Kleinrock 1975, section 5.6.
    """
    return rate * service_square / (2 * (1 - _utilisation(rate, service)))


def md1_wait(rate: float, service: float) -> float:
    """Mean wait with Poisson arrivals and a constant service, as of a link's messages: rho s / (2 (1 - rho)).

    mg1_wait with no variance: half of mm1_wait.
    """
    return mg1_wait(rate, service, service * service)


def md1_wait_below(rate: float, service: float, wait: float) -> float:
    """Chance of waiting no longer than `wait` for a constant service with Poisson arrivals.

    (1 - rho) sum over k = 0 .. floor(wait / s) of (-y)^k / k! e^y with y = rate (wait - k s): Erlang 1909; Crommelin,
    1932. The terms alternate, so digits are lost as rate * wait grows: ValueError beyond 25.
    """
    rho = _utilisation(rate, service)
    if wait < 0:
        return 0.0
    if rate * wait > 25:
        raise ValueError(f"{rate * wait:.1f} mean arrivals in that wait: the alternating sum has no digits left")
    total = 0.0
    for k in range(int(wait / service) + 1):
        y = rate * (wait - k * service)
        total += (-y) ** k / math.factorial(k) * math.exp(y)
    return (1 - rho) * total


def _utilisation(rate: float, service: float) -> float:
    if not 0 <= rate * service < 1:
        raise ValueError(f"utilisation {rate * service:.3f} is not in [0, 1): the queue grows without end")
    return rate * service


def little_error(stays: Sequence[tuple[float, float]]) -> float:
    """Relative difference of the two sides of Little's law, L = lambda W, for customers' (arrival, departure).

    Little, Operations Research 9(3), 1961. L is the number present averaged over time, counted here by sweeping over
    arrivals and departures; lambda and W come from the stays. From first arrival to last departure it holds exactly.
    """
    arrivals, departures = sorted(begin for begin, _ in stays), sorted(end for _, end in stays)
    begin, end = arrivals[0], departures[-1]
    area, now = 0.0, begin
    for instant in sorted([*arrivals, *departures]):
        present = bisect.bisect_left(arrivals, instant) - bisect.bisect_left(departures, instant)
        area += present * (instant - now)
        now = instant
    if area == 0:
        return 0.0
    mean_stay = sum(last - first for first, last in stays) / len(stays)
    return abs(len(stays) / (end - begin) * mean_stay / (area / (end - begin)) - 1)


def refresh_mean_delay(interval: float, duration: float) -> float:
    """Mean delay of an access that comes at a random time to a rank being refreshed: duration^2 / (2 interval).

    It meets a refresh with chance duration / interval and waits for the rest of it, half of it in the mean. For one
    access at a time, all banks refreshed at once every `interval`, and no refresh postponed.
    """
    return duration * duration / (2 * interval)


def refresh_share(interval: float, duration: float) -> float:
    """Share of a channel's time, so of its bandwidth, that refresh takes: duration / interval (tRFC / tREFI)."""
    return duration / interval
