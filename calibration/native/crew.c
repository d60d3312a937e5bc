#include "crew.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "chain.h"
#include "output.h"
#include "sysfs.h"
#include "threads.h"
#include "timer.h"

enum { AT_A_TIME = 64, CHUNK = AT_A_TIME * LINE, MOST_RATIO = 64 };

typedef uint64_t vector __attribute__((vector_size(16)));
enum { VECTORS = LINE / sizeof(vector) };

struct generator {
    _Atomic uint64_t lines;
    atomic_bool ready;
    char beside[LINE]; /* nobody else's counter is in this line */
    struct crew *crew;
    struct arena arena;
    const char *why;
    vector sum;
    size_t at; /* in the arena */
    int64_t turn; /* in the pattern of loads and stores */
    pthread_t thread;
    int cpu;
};

struct crew {
    atomic_bool stop;
    char beside[LINE];
    int count, node;
    bool take_part;
    uint64_t delay, stored; /* bit i: is line i of the pattern stored to? */
    int64_t reads, writes;
    struct generator *each;
};

static inline vector load_line(const vector *line, vector sum) {
    for (int i = 0; i < VECTORS; i++) {
        sum ^= line[i];
    }
    return sum;
}

static inline void store_line(vector *line, vector what) {
    for (int i = 0; i < VECTORS; i++) {
        line[i] = what;
    }
}

static inline void pause_for(uint64_t delay) {
    for (; delay; delay--) {
        __asm__ volatile("" : "+r"(delay));
    }
}

/* Through AT_A_TIME lines; `turn` is the place in the pattern of loads and stores. Three loops, as the plain ones must
   cost nothing but their accesses. */
static vector through(const struct crew *crew, vector *line, vector sum, int64_t *turn) {
    uint64_t delay = crew->delay;
    if (crew->writes == 0) {
        for (int i = 0; i < AT_A_TIME; i++, line += VECTORS) {
            sum = load_line(line, sum);
            pause_for(delay);
        }
    } else if (crew->writes == crew->reads) {
        for (int i = 0; i < AT_A_TIME; i++, line += VECTORS) {
            store_line(line, sum);
            pause_for(delay);
        }
    } else {
        for (int i = 0; i < AT_A_TIME; i++, line += VECTORS) {
            if (crew->stored >> *turn & 1) {
                store_line(line, sum);
            } else {
                sum = load_line(line, sum);
            }
            *turn = *turn + 1 == crew->reads ? 0 : *turn + 1;
            pause_for(delay);
        }
    }
    return sum;
}

/* Goes through the buffer, on from where it was, until it is stopped or the counter is at `until`. */
static void work(struct generator *me, uint64_t until) {
    struct crew *crew = me->crew;
    size_t size = me->arena.bytes / CHUNK * CHUNK;
    uint64_t lines = atomic_load_explicit(&me->lines, memory_order_relaxed);
    for (int i = 0; !atomic_load_explicit(&crew->stop, memory_order_relaxed); i++) {
        if (i % 16 == 0 && ticks_loose() > until) { /* now and then, as it takes longer than some loads */
            break;
        }
        me->sum = through(crew, (vector *)(void *)(me->arena.base + me->at), me->sum, &me->turn);
        me->at = me->at + CHUNK == size ? 0 : me->at + CHUNK;
        lines += AT_A_TIME;
        atomic_store_explicit(&me->lines, lines, memory_order_relaxed);
    }
    chain_sink = (void *)(uintptr_t)(me->sum[0] ^ me->sum[1]);
}

static void generate(void *given) {
    struct generator *me = given;
    me->why = arena_fill(&me->arena, me->crew->node);
    atomic_store(&me->ready, true);
    if (!me->why) {
        work(me, UINT64_MAX);
    }
}

void crew_work(struct crew *crew, uint64_t until) {
    work(&crew->each[0], until);
}

static void read_ratio(struct run *run, struct crew *crew) {
    const char *text = keys_text(&run->keys, "ratio");
    char end;
    int reads, writes;
    if (sscanf(text, "%d:%d%c", &reads, &writes, &end) != 2 || reads < 1 || reads > MOST_RATIO || writes < 0 ||
        writes > reads) {
        mistake("ratio=%.40s: reads:writes, reads from 1 to %d and at least as many as writes, was expected", text,
                MOST_RATIO);
    }
    crew->reads = reads;
    crew->writes = writes;
    for (int i = 0; i < reads; i++) { /* as evenly spread as they can be */
        crew->stored |= (uint64_t)(i * writes % reads + writes >= reads) << i;
    }
}

/* Maps the memory of one, or ends. */
static void prepare(struct run *run, struct crew *crew, int number, int cpu, int64_t bytes) {
    static int allowed[MAX_CPUS];
    struct generator *one = &crew->each[number];
    bool found = false;
    for (int i = cpus_allowed(allowed); i-- > 0;) {
        found = found || allowed[i] == cpu;
    }
    one->cpu = cpu;
    one->crew = crew;
    one->sum[0] = (uint64_t)number + 1;
    one->why = found ? arena_map(&one->arena, (size_t)bytes, run->pages, crew->node) : "this process may not run there";
    if (one->why) {
        run_skip(run, one->why);
    }
}

struct crew *crew_start(struct run *run, int64_t bytes, int node, uint64_t delay, bool take_part) {
    static int cpus[MAX_CPUS];
    struct crew *crew = allocate(sizeof *crew);
    crew->node = node;
    crew->delay = delay;
    crew->take_part = take_part;
    read_ratio(run, crew);
    crew->count = list_parse(keys_text(&run->keys, "cpus"), cpus, MAX_CPUS);
    if (crew->count < 1) {
        mistake("cpus=%.100s: a list such as 0-3,8 was expected", keys_text(&run->keys, "cpus"));
    }
    crew->each = allocate((size_t)crew->count * sizeof *crew->each);
    for (int i = 0; i < crew->count; i++) {
        prepare(run, crew, i, cpus[i], bytes);
    }
    if (take_part) {
        pin(cpus[0]);
        crew->each[0].why = arena_fill(&crew->each[0].arena, node);
        atomic_store(&crew->each[0].ready, true);
    }
    for (int i = take_part; i < crew->count; i++) {
        thread_start(&crew->each[i].thread, crew->each[i].cpu, generate, &crew->each[i]);
        run_watch(run, crew->each[i].thread);
    }
    for (int i = 0; i < crew->count; i++) {
        while (!atomic_load(&crew->each[i].ready)) {
            sched_yield();
        }
        if (crew->each[i].why) {
            run_skip(run, crew->each[i].why);
        }
    }
    return crew;
}

double crew_lines(const struct crew *crew) {
    double sum = 0;
    for (int i = 0; i < crew->count; i++) {
        sum += (double)atomic_load_explicit(&crew->each[i].lines, memory_order_relaxed);
    }
    return sum;
}

double crew_stored(const struct crew *crew) {
    return (double)crew->writes / (double)crew->reads;
}

bool crew_has(const struct crew *crew, int cpu) {
    bool has = false;
    for (int i = 0; i < crew->count; i++) {
        has = has || crew->each[i].cpu == cpu;
    }
    return has;
}

void crew_sample(struct run *run, const struct crew *crew, double lines, uint64_t spent) {
    double gbps = lines * LINE / ticks_to_ns((double)spent);
    run_sample(run, "read_gbps", gbps);
    run_sample(run, "write_gbps", gbps * crew_stored(crew));
}

void crew_stop(struct crew *crew) {
    atomic_store(&crew->stop, true);
    for (int i = 0; i < crew->count; i++) {
        if (i > 0 || !crew->take_part) {
            thread_join(crew->each[i].thread);
        }
        arena_unmap(&crew->each[i].arena);
    }
    free(crew->each);
    free(crew);
}
