/* Lines that go from core to core: by compare and swap, and by reading what another core has. */
#include <stdatomic.h>

#include "chain.h"
#include "experiments.h"
#include "output.h"
#include "threads.h"
#include "timer.h"

struct pair {
    pthread_t thread;
    atomic_bool stop;
    char beside[LINE];
    _Atomic uint64_t *line; /* handed to and fro: 0 is the first one's turn, 1 the other's */
    char *base; /* the buffer of c2c */
    size_t bytes;
    bool dirty;
    char beside_too[LINE];
    _Atomic uint64_t asked; /* rounds of c2c the reader has asked for */
    char beside_as_well[LINE];
    _Atomic uint64_t ready; /* and that the other has prepared */
};

static bool take(_Atomic uint64_t *line, uint64_t from) {
    return atomic_compare_exchange_strong(line, &from, 1 - from);
}

static void hand_back(void *given) {
    struct pair *pair = given;
    while (!atomic_load_explicit(&pair->stop, memory_order_relaxed)) {
        take(pair->line, 1);
    }
}

static void round_trips(void *given, uint64_t count) {
    struct pair *pair = given;
    for (; count; count--) {
        while (!take(pair->line, 0)) {
        }
    }
}

static void start_other(struct run *run, struct pair *pair, void (*work)(void *)) {
    int other = (int)keys_number(&run->keys, "other", 0, MAX_CPUS - 1);
    if (other == run->cpu) {
        mistake("other=%d: another CPU than cpu=%d was expected", other, run->cpu);
    }
    if (!pin(other) || !pin(run->cpu)) {
        run_skip(run, "this process may not run on the other CPU, or there is none");
    }
    thread_start(&pair->thread, other, work, pair);
    run_watch(run, pair->thread);
}

void measure_pingpong(struct run *run) {
    struct arena arena = run_memory(run, SMALL_PAGE);
    struct pair pair = {.line = (_Atomic uint64_t *)(void *)arena.base};
    start_other(run, &pair, hand_back);
    uint64_t count = run_pace(run, round_trips, &pair);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "handover_ns", run_ns(round_trips, &pair, count) / 2);
    }
    run_fact(run, "handovers", 2 * (double)count);
    atomic_store(&pair.stop, true);
    thread_join(pair.thread);
}

enum { SPACING = 128 };

/* Out of all caches, of all cores. */
static void flush_line(char *line) {
#if defined(__x86_64__)
    __asm__ volatile("clflush %0" : "+m"(*line));
#else
    __asm__ volatile("dc civac, %0" : : "r"(line) : "memory");
#endif
}

static void barrier_of_memory(void) {
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__aarch64__)
    __asm__ volatile("dsb ish" : : : "memory");
#endif
}

/* Takes the lines of the buffer into this core's caches, modified or clean. */
static void prepare(struct pair *pair) {
    if (!pair->dirty) {
        for (size_t at = 0; at < pair->bytes; at += SPACING) {
            flush_line(pair->base + at);
        }
        barrier_of_memory();
    }
    for (size_t at = 0; at < pair->bytes; at += SPACING) {
        volatile uint64_t *word = (volatile uint64_t *)(void *)(pair->base + at) + 1; /* behind the pointer */
        if (pair->dirty) {
            *word = at;
        } else {
            (void)*word;
        }
    }
    barrier_of_memory();
}

static void prepare_when_asked(void *given) {
    struct pair *pair = given;
    uint64_t done = 0;
    while (!atomic_load_explicit(&pair->stop, memory_order_relaxed)) {
        if (atomic_load_explicit(&pair->asked, memory_order_acquire) > done) {
            prepare(pair);
            atomic_store_explicit(&pair->ready, ++done, memory_order_release);
        }
        relax();
    }
}

/* Ticks of chasing once through the buffer that the other has just prepared. */
static uint64_t read_round(struct pair *pair, void **p, uint64_t lines) {
    uint64_t round = atomic_fetch_add(&pair->asked, 1) + 1;
    while (atomic_load_explicit(&pair->ready, memory_order_acquire) < round) {
        relax();
    }
    uint64_t begun = ticks();
    *p = chain_follow(*p, lines);
    return ticks() - begun;
}

void measure_c2c(struct run *run) {
    static const char *const states[] = {"hit", "hitm", NULL};
    int64_t size = keys_number(&run->keys, "size", SMALL_PAGE, 1 << 30) / SMALL_PAGE * SMALL_PAGE;
    struct arena arena = run_memory(run, size);
    struct pair pair = {.base = arena.base, .bytes = (size_t)size};
    pair.dirty = keys_choice(&run->keys, "state", states);
    void *p = chain_pages(arena.base, (size_t)size, SPACING, &run->random);
    uint64_t lines = (uint64_t)size / SPACING, rounds = 0;
    start_other(run, &pair, prepare_when_asked);
    read_round(&pair, &p, lines); /* the first finds nothing in the TLBs */
    for (int i = 0; run_repeats(run, i); i++) {
        double spent = 0, count = 0;
        for (uint64_t begun = ticks(); count == 0 || ticks() - begun < run->ticks_a_repetition; count++) {
            spent += (double)read_round(&pair, &p, lines);
        }
        run_sample(run, "latency_ns", ticks_to_ns(spent) / (count * (double)lines));
        rounds += (uint64_t)count;
    }
    run_fact(run, "spacing_bytes", SPACING);
    run_fact(run, "accesses", (double)lines);
    run_fact(run, "buffers", (double)rounds);
    atomic_store(&pair.stop, true);
    thread_join(pair.thread);
    chain_sink = p;
}
