"""Of a rented host: others who share its L3 and fill it all the time.

What a program does not use again soon is gone then, and a chase that has begun to miss takes longer and misses ever
more: the L3 ends more steeply than any cache that is smaller, and now here, now there. Chases around that end tell how
fast it is filled, and one through many small pages, whose page tables stay as long as others let them.
"""

from numasim.calibration.host_aims import of_size, pick
from numasim.calibration.host_fit import ONE_SIGMA, HostFit, Values
from numasim.calibration.host_outer import BEYOND, SIZE, chases, near_of, solved
from numasim.calibration.host_pages import runs

KEY = "l3.neighbours_gbps"
RATES, FINE = (2.5, 3.0, 2.0, 1.5, 1.0, 0.5, 3.5, 4.0, 5.0, 6.0, 8.0, 12.0), 0.25


def neighbours(fit: HostFit) -> None:
    """The whole L3, as the guest is told of it, with others in it; unless a smaller one of its own fits clearly better:
    by more than a standard deviation a run."""
    every = chases(fit, 1.1 * fit.machine.l2.size_bytes, 1 << 50)
    near = [aim for aim in near_of(fit, every) if int(aim.keys["size"]) < 2 * fit.l3.size_bytes]
    if not fit.file.host.get("virtual", {}).get("is") or len(near) <= 2:
        return
    paged = pick(fit.aims, "chase", of_size(BEYOND * fit.l3.size_bytes, 1 << 50, "4k"))[-1:]
    chosen = [*near, *paged]
    own = solved(fit, [{}], chosen)[0]
    shared = fit.copy()
    whole: Values = {SIZE: fit.l3.size_bytes, "l3.ways": fit.l3.ways, "l3.policy": "lru"}
    rates: list[Values] = [{**whole, KEY: rate} for rate in RATES]
    for _ in range(2):  # how fast, and how many pages are side by side: both decide what stays of page tables
        costs = solved(shared, rates, chosen)
        shared.take(rates, costs, chosen, {KEY: FINE / 2, SIZE: fit.l3.size_bytes / fit.l3.ways / 2}, [KEY, SIZE])
        runs(shared)
        best = shared.machine.l3.neighbours_gbps
        rates = [{**whole, KEY: max(FINE, best + k * FINE)} for k in (0, -1, 1)]
    if min(costs) <= own + ONE_SIGMA * len(chosen):
        fit.restore(shared)
