#include "permutation.h"

uint64_t splitmix64(uint64_t number) {
    uint64_t x = number * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void random_seed(struct random *random, uint64_t seed) {
    random->state = splitmix64(seed + 1);
    if (random->state == 0) {
        random->state = 1; /* the one state that xorshift never leaves */
    }
}

uint64_t random_next(struct random *random) {
    uint64_t x = random->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545F4914F6CDD1Du;
}

uint32_t random_below(struct random *random, uint32_t limit) {
    return (uint32_t)((random_next(random) >> 32) * limit >> 32);
}

static void swap(uint32_t *numbers, uint32_t one, uint32_t other) {
    uint32_t kept = numbers[one];
    numbers[one] = numbers[other];
    numbers[other] = kept;
}

void random_cycle(uint32_t *next, uint32_t count, struct random *random) {
    for (uint32_t i = 0; i < count; i++) {
        next[i] = i;
    }
    for (uint32_t last = count; last-- > 1;) {
        swap(next, last, random_below(random, last));
    }
}

void random_order(uint32_t *order, uint32_t count, struct random *random) {
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t last = count; last-- > 1;) {
        swap(order, last, random_below(random, last + 1));
    }
}
