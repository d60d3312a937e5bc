/* Random numbers, and random cycles: orders in which each place is visited once. */
#ifndef NUMASIM_PERMUTATION_H
#define NUMASIM_PERMUTATION_H

#include <stddef.h>
#include <stdint.h>

/* xorshift64* (Vigna, ACM TOMS 42(4), 2016), seeded through splitmix64. */
struct random {
    uint64_t state;
};

uint64_t splitmix64(uint64_t number);
void random_seed(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);

/* A whole number from 0 to below `limit`. */
uint32_t random_below(struct random *random, uint32_t limit);

/* next[i] for i < count: one cycle through all, each equally likely (Sattolo, IPL 22(6), 1986). */
void random_cycle(uint32_t *next, uint32_t count, struct random *random);

/* order[i] for i < count: a permutation (Fisher and Yates). */
void random_order(uint32_t *order, uint32_t count, struct random *random);

#endif
