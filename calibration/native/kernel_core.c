/* What needs no memory, or only the first-level cache: the clock, wrong guesses, loads across two lines. */
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "experiments.h"

#define TIMES_8(x) x x x x x x x x

/* Eight additions, each of which needs the last. Of a register: some cores do immediates while renaming. */
static uint64_t add(uint64_t sum, uint64_t what, uint64_t count) {
    for (; count; count--) {
        TIMES_8(sum += what; __asm__ volatile("" : "+r"(sum), "+r"(what));)
    }
    return sum;
}

static void add_up(void *sum, uint64_t count) {
    *(uint64_t *)sum = add(*(uint64_t *)sum, 1, count);
}

void measure_clock(struct run *run) {
    uint64_t sum = 0, count = run_pace(run, add_up, &sum);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "core_ghz", 8 / run_ns(add_up, &sum, count));
    }
    run_fact(run, "additions", 8 * (double)count);
    chain_sink = (void *)(uintptr_t)sum;
}

struct bits {
    uint64_t state, mask, taken;
};

/* A branch on each bit of xorshift64 that the mask lets through. */
static void branch_on(void *given, uint64_t count) {
    struct bits *bits = given;
    uint64_t x = bits->state, mask = bits->mask, taken = 0;
    for (; count; count--) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (x & mask) {
            __asm__ volatile("" : "+r"(taken)); /* else a conditional move would do */
            taken++;
        }
    }
    bits->state = x;
    bits->taken += taken;
}

void measure_branch(struct run *run) {
    struct bits chance = {random_next(&run->random) | 1, 1, 0}, never = {chance.state, 0, 0};
    uint64_t count = run_pace(run, branch_on, &chance);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "random_ns", run_ns(branch_on, &chance, count));
        run_sample(run, "predictable_ns", run_ns(branch_on, &never, count));
    }
    run_fact(run, "branches", (double)count);
    chain_sink = (void *)(uintptr_t)(chance.taken + never.taken);
}

enum { SLOT = 128 };

/* Follows pointers that need not be aligned, eight a unit. */
static void follow_unaligned(void *start, uint64_t count) {
    char *p = *(char **)start;
    for (; count; count--) {
        TIMES_8(memcpy(&p, p, sizeof p);)
    }
    *(char **)start = p;
}

static void chain_slots(char *base, uint32_t slots, size_t offset, struct random *random) {
    uint32_t *next = allocate(slots * sizeof *next);
    random_cycle(next, slots, random);
    for (uint32_t i = 0; i < slots; i++) {
        char *target = base + (size_t)next[i] * SLOT + offset;
        memcpy(base + (size_t)i * SLOT + offset, &target, sizeof target);
    }
    free(next);
}

void measure_split(struct run *run) {
    int64_t size = keys_number(&run->keys, "size", SLOT, 1 << 30) / SLOT * SLOT;
    struct arena aligned = run_memory(run, size), split = run_memory_on(run, size, run->node);
    chain_slots(aligned.base, (uint32_t)(size / SLOT), 0, &run->random);
    chain_slots(split.base, (uint32_t)(size / SLOT), 60, &run->random);
    char *p = aligned.base, *q = split.base + 60;
    follow_unaligned(&p, (uint64_t)size / SLOT);
    follow_unaligned(&q, (uint64_t)size / SLOT);
    uint64_t count = run_pace(run, follow_unaligned, &q);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "aligned_ns", run_ns(follow_unaligned, &p, count) / 8);
        run_sample(run, "split_ns", run_ns(follow_unaligned, &q, count) / 8);
    }
    chain_sink = p < q ? p : q;
    run_fact(run, "accesses", 8 * (double)count);
}
