/* Counts of whole numbers (ticks) in buckets within 1/64 of the number, as HDR histograms have them. */
#ifndef NUMASIM_HISTOGRAM_H
#define NUMASIM_HISTOGRAM_H

#include <stdint.h>

enum { BUCKETS_A_DOUBLING = 64, HISTOGRAM_BUCKETS = 128 + 57 * BUCKETS_A_DOUBLING };

struct histogram {
    uint64_t count, min, max;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Bucket of a value: itself up to 127; then 64 to a doubling. */
static inline unsigned histogram_bucket(uint64_t value) {
    if (value < 2 * BUCKETS_A_DOUBLING) {
        return (unsigned)value;
    }
    unsigned shift = 57 - (unsigned)__builtin_clzll(value);
    return shift * BUCKETS_A_DOUBLING + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->min = histogram->count == 0 || value < histogram->min ? value : histogram->min;
    histogram->max = value > histogram->max ? value : histogram->max;
    histogram->count++;
    histogram->sum += (double)value;
    histogram->buckets[histogram_bucket(value)]++;
}

void histogram_clear(struct histogram *histogram);

/* Adds all that `more` has to `sum`. */
void histogram_merge(struct histogram *sum, const struct histogram *more);

/* Smallest and largest value of a bucket. */
uint64_t histogram_low(unsigned bucket);
uint64_t histogram_high(unsigned bucket);

/* The value (middle of its bucket) that a share of all do not exceed; 0 if there are none. */
double histogram_quantile(const struct histogram *histogram, double share);

#endif
