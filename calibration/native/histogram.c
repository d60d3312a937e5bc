#include "histogram.h"

#include <string.h>

void histogram_clear(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

void histogram_merge(struct histogram *sum, const struct histogram *more) {
    if (more->count == 0) {
        return;
    }
    sum->min = sum->count == 0 || more->min < sum->min ? more->min : sum->min;
    sum->max = more->max > sum->max ? more->max : sum->max;
    sum->count += more->count;
    sum->sum += more->sum;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        sum->buckets[bucket] += more->buckets[bucket];
    }
}

uint64_t histogram_low(unsigned bucket) {
    if (bucket < 2 * BUCKETS_A_DOUBLING) {
        return bucket;
    }
    unsigned shift = bucket / BUCKETS_A_DOUBLING - 1;
    return (uint64_t)(bucket - shift * BUCKETS_A_DOUBLING) << shift;
}

uint64_t histogram_high(unsigned bucket) {
    if (bucket < 2 * BUCKETS_A_DOUBLING) {
        return bucket;
    }
    unsigned shift = bucket / BUCKETS_A_DOUBLING - 1;
    return histogram_low(bucket) + ((uint64_t)1 << shift) - 1;
}

double histogram_quantile(const struct histogram *histogram, double share) {
    uint64_t passed = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        passed += histogram->buckets[bucket];
        if (passed > 0 && (double)passed >= share * (double)histogram->count) {
            return 0.5 * ((double)histogram_low(bucket) + (double)histogram_high(bucket));
        }
    }
    return 0;
}
