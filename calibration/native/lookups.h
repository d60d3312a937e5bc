/* Timing operations of a structure: back to back, and each between two time stamps. */
#ifndef NUMASIM_LOOKUPS_H
#define NUMASIM_LOOKUPS_H

#include "chain.h"
#include "run.h"
#include "timer.h"

/* Does `count` operations, adds what they found to *sum; with `stamped`, each between stamps, which go there. */
typedef void operations(void *structure, uint64_t count, uint64_t *sum, struct histogram *stamped);

/* Warms up with `lap` operations, then takes the samples of both kinds. */
void time_operations(struct run *run, void *structure, uint64_t lap, operations *work);

/* What look-ups share. */
struct look_ups {
    const void *structure;
    uint64_t items, state; /* of the random numbers */
};

/* Keys are drawn anew each time, so that no predictor of branches can learn them. Dependent: the last answer, which is
   always 0, is added to the key: a cycle, but the processor has to wait for it. find(structure, key) gives the value of
   a key, key_of(rank) the key of an item. Both are known where this is called, so that they are inlined, as a compiler
   does with such code. */
static inline __attribute__((always_inline)) void look_up(struct look_ups *us, uint64_t count, uint64_t *sum,
                                                          struct histogram *stamped, bool dependent,
                                                          uint64_t (*find)(const void *, uint64_t),
                                                          uint64_t (*key_of)(uint64_t)) {
    uint64_t x = us->state, answer = 0, total = *sum;
    for (; count; count--) {
        uint64_t begun = stamped ? ticks() : 0;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t key = key_of((x >> 32) * us->items >> 32);
        answer = find(us->structure, dependent ? key + answer : key);
        total += answer;
        if (stamped) {
            histogram_add(stamped, ticks() - begun);
        }
    }
    us->state = x;
    *sum = total;
}

/* The same as operations, of which there are four: stamped or not, dependent or not. */
#define LOOK_UPS(find, key_of)                                                                                         \
    static void independent_ones(void *us, uint64_t count, uint64_t *sum, struct histogram *stamped) {                 \
        if (stamped) {                                                                                                 \
            look_up(us, count, sum, stamped, false, find, key_of);                                                     \
        } else {                                                                                                       \
            look_up(us, count, sum, NULL, false, find, key_of);                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    static void dependent_ones(void *us, uint64_t count, uint64_t *sum, struct histogram *stamped) {                   \
        if (stamped) {                                                                                                 \
            look_up(us, count, sum, stamped, true, find, key_of);                                                      \
        } else {                                                                                                       \
            look_up(us, count, sum, NULL, true, find, key_of);                                                         \
        }                                                                                                              \
    }

/* The key `dependent`. */
bool wants_dependent(const struct run *run);

#endif
