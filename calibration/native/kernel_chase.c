/* Latency of dependent loads: of random lines, in steps, of a line a page, of several chains at once. */
#include <stdlib.h>

#include "chain.h"
#include "experiments.h"
#include "output.h"

/* Times a chain that is built: warm-up, then the repetitions, each going on where the last has ended. */
static void time_chain(struct run *run, void *p, uint64_t lines) {
    chain_warm_up(run, &p, lines);
    uint64_t count = chain_pace(run, &p);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "latency_ns", run_ns(chain_task, &p, count));
    }
    chain_sink = p;
}

void measure_chase(struct run *run) {
    uint64_t lines;
    void *p = chain_of_keys(run, &lines);
    time_chain(run, p, lines);
}

void measure_stride(struct run *run) {
    int64_t size = keys_number(&run->keys, "size", LINE, (int64_t)1 << 37) / LINE * LINE;
    int64_t stride = keys_number(&run->keys, "stride", LINE, (int64_t)1 << 30);
    if (stride % LINE || size % stride) {
        mistake("stride=%lld: a multiple of %d that divides size=%lld was expected", (long long)stride, LINE,
                (long long)size);
    }
    struct arena arena = run_memory(run, size);
    chain_stride(arena.base, (size_t)size, (size_t)stride);
    time_chain(run, arena.base, (uint64_t)size / LINE);
}

/* One line of each page: number (65 i) mod (lines a page) of page i, so that all sets of the caches are used evenly. */
static void chain_of_pages(struct run *run, struct arena *arena, uint32_t count) {
    uint32_t *next = allocate(count * sizeof *next);
    size_t lines = arena->page_bytes / LINE;
    random_cycle(next, count, &run->random);
    for (size_t i = 0; i < count; i++) {
        char *here = arena->base + i * arena->page_bytes + 65 * i % lines * LINE;
        size_t to = next[i];
        *(void **)here = arena->base + to * arena->page_bytes + 65 * to % lines * LINE;
    }
    free(next);
}

/* As many lines side by side; by pages where there are many, so that the TLBs hold what they need. */
static void *chain_dense(struct run *run, uint32_t count) {
    struct arena arena = run_memory_on(run, (int64_t)count * LINE, run->node);
    if ((size_t)count * LINE < 16 * SMALL_PAGE) {
        chain_random(arena.base, count, LINE, &run->random);
        return arena.base;
    }
    return chain_pages(arena.base, (size_t)count * LINE / SMALL_PAGE * SMALL_PAGE, LINE, &run->random);
}

void measure_tlb(struct run *run) {
    uint32_t count = (uint32_t)keys_number(&run->keys, "count", 2, 1 << 26);
    struct arena arena = run_memory(run, (int64_t)(count * page_bytes_of(run->pages)));
    chain_of_pages(run, &arena, count);
    void *p = arena.base, *q = chain_dense(run, count);
    chain_warm_up(run, &p, count);
    uint64_t accesses = chain_pace(run, &p);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "latency_ns", run_ns(chain_task, &p, accesses));
    }
    q = chain_follow(q, count);
    for (int i = 0; i < run->repetitions; i++) { /* after the others, as it would find what they left in the caches */
        run_sample(run, "dense_latency_ns", run_ns(chain_task, &q, accesses));
    }
    chain_sink = p < q ? p : q;
}

enum { MOST_CHAINS = 32 };

/* Steps of `chains` chains at once. The number is known where this is called, so the pointers can be in registers. */
static inline __attribute__((always_inline)) void step_all(void **start, uint64_t steps, int chains) {
    void *p[MOST_CHAINS];
    for (int i = 0; i < chains; i++) {
        p[i] = start[i];
    }
    for (; steps; steps--) {
#pragma GCC unroll 32
        for (int i = 0; i < chains; i++) {
            p[i] = *(void **)p[i];
        }
    }
    for (int i = 0; i < chains; i++) {
        start[i] = p[i];
    }
}

#define CASE(n)                                                                                                        \
    case n:                                                                                                            \
        step_all(start, steps, n);                                                                                     \
        break;
#define CASES(n) CASE(n) CASE(n + 1) CASE(n + 2) CASE(n + 3) CASE(n + 4) CASE(n + 5) CASE(n + 6) CASE(n + 7)

struct chains {
    int count;
    void *start[MOST_CHAINS];
};

static void step(void *given, uint64_t steps) {
    struct chains *chains = given;
    void **start = chains->start;
    switch (chains->count) { CASES(1) CASES(9) CASES(17) CASES(25) }
}

void measure_chains(struct run *run) {
    struct chains chains = {.count = (int)keys_number(&run->keys, "chains", 1, MOST_CHAINS)};
    int64_t size = keys_number(&run->keys, "size", chains.count * LINE, (int64_t)1 << 37);
    uint32_t lines = (uint32_t)(size / chains.count / LINE), most = (4 << 20) / (uint32_t)chains.count;
    struct arena arena = run_memory(run, size);
    for (int i = 0; i < chains.count; i++) {
        chains.start[i] = arena.base + (size_t)i * lines * LINE;
        chain_random(chains.start[i], lines, LINE, &run->random);
    }
    uint64_t warmup = lines < most ? lines : most;
    step(&chains, warmup);
    uint64_t steps = run_pace(run, step, &chains);
    run_fact(run, "warmup", (double)warmup * chains.count);
    run_fact(run, "accesses", (double)steps * chains.count);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "step_ns", run_ns(step, &chains, steps));
    }
    for (int i = 0; i < chains.count; i++) {
        chain_sink = chains.start[i];
    }
}
