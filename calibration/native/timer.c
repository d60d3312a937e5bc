#include "timer.h"

#include <time.h>

double monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Both clocks at one moment: of several readings the one whose two stamps lie closest, so that nothing came between. */
static void both(double *seconds, double *count) {
    uint64_t closest = UINT64_MAX;
    for (int try = 0; try < 50; try++) {
        uint64_t before = ticks();
        double now = monotonic_s();
        uint64_t after = ticks();
        if (after - before < closest) {
            closest = after - before;
            *seconds = now;
            *count = (double)before + 0.5 * (double)(after - before);
        }
    }
}

double ticks_per_s(void) {
    static double rate;
    if (rate == 0) {
        double begin_s = 0, begin = 0, end_s = 0, end = 0;
        both(&begin_s, &begin);
        while (monotonic_s() < begin_s + 0.02) {
        }
        both(&end_s, &end);
        rate = (end - begin) / (end_s - begin_s);
    }
    return rate;
}

double ticks_to_ns(double count) {
    return count * 1e9 / ticks_per_s();
}
