#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "output.h"
#include "timer.h"

void run_begin(struct run *run) {
    const struct keys *keys = &run->keys;
    static int allowed[MAX_CPUS];
    cpus_allowed(allowed);
    run->begun_s = monotonic_s();
    run->events = -1;
    run->threads = 1;
    run->clock[0] = CLOCK_THREAD_CPUTIME_ID;
    run->cpu = (int)keys_number(keys, "cpu", 0, MAX_CPUS - 1);
    run->repetitions = (int)keys_number(keys, "repetitions", 1, MAX_REPETITIONS);
    if (keys_find(keys, "node")) {
        run->node = (int)keys_number(keys, "node", -1, 1023);
        run->pages = (enum pages)keys_choice(keys, "pages", PAGES_WORDS);
    }
    if (keys_find(keys, "seed")) {
        random_seed(&run->random, (uint64_t)keys_number(keys, "seed", 0, INT64_MAX));
    }
    if (!pin(run->cpu)) {
        run_skip(run, "this process may not run on that CPU, or there is none");
    }
    if (keys_find(keys, "ms")) {
        run->ticks_a_repetition = 1e-3 * (double)keys_number(keys, "ms", 1, 100000) * ticks_per_s();
    }
}

void run_watch(struct run *run, pthread_t thread) {
    if (run->threads == MAX_CPUS || pthread_getcpuclockid(thread, &run->clock[run->threads++]) != 0) {
        broken("a thread has no clock");
    }
}

bool run_repeats(struct run *run, int done) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double wall_s = monotonic_s(), cpu_s = 0;
    /* not the clock of the process: of threads that run now it knows what they had used at the last tick */
    for (int i = 0; i < run->threads; i++) {
        struct timespec time = {0};
        clock_gettime(run->clock[i], &time);
        cpu_s += (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
    }
    if (done > 0) {
        run_sample(run, "preempted", (double)(used.ru_nivcsw - run->switches));
        run_sample(run, "ran_share", (cpu_s - run->cpu_s) / (wall_s - run->wall_s) / run->threads);
    }
    run->switches = used.ru_nivcsw;
    run->cpu_s = cpu_s;
    run->wall_s = wall_s;
    return done < run->repetitions;
}

uint64_t run_ticks(task *work, void *what, uint64_t count) {
    uint64_t begun = ticks();
    work(what, count);
    return ticks() - begun;
}

double run_ns(task *work, void *what, uint64_t count) {
    return ticks_to_ns((double)run_ticks(work, what, count)) / (double)count;
}

uint64_t run_pace(const struct run *run, task *work, void *what) {
    uint64_t count = 1, least = 0;
    double enough = 20e-6 * ticks_per_s();
    for (enough = enough < 50 ? 50 : enough; least < enough; count *= 2) {
        least = UINT64_MAX;
        for (int i = 0; i < 8; i++) {
            uint64_t again = run_ticks(work, what, count);
            least = again < least ? again : least;
        }
    }
    return (uint64_t)((double)count / 2 * run->ticks_a_repetition / (double)least) + 1;
}

static void print_samples(const struct run *run) {
    json_open("samples", '{');
    for (int i = 0; i < run->samples; i++) {
        json_open(run->sample[i].name, '[');
        for (int j = 0; j < run->sample[i].count; j++) {
            json_number(NULL, run->sample[i].values[j]);
        }
        json_close(']');
    }
    json_close('}');
}

static void print_histogram(const char *name, const struct histogram *of) {
    json_open(name, '{');
    json_number("unit_ns", ticks_to_ns(1));
    json_number("count", (double)of->count);
    json_number("sum", of->sum);
    json_number("min", (double)of->min);
    json_number("max", (double)of->max);
    json_open("buckets", '[');
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (of->buckets[bucket]) {
            json_open(NULL, '[');
            json_number(NULL, (double)histogram_low(bucket));
            json_number(NULL, (double)histogram_high(bucket));
            json_number(NULL, (double)of->buckets[bucket]);
            json_close(']');
        }
    }
    json_close(']');
    json_close('}');
}

static void print_facts(const struct run *run) {
    json_open("facts", '{');
    for (int i = 0; i < run->facts; i++) {
        if (run->fact[i].text) {
            json_text(run->fact[i].name, run->fact[i].text);
        } else {
            json_number(run->fact[i].name, run->fact[i].number);
        }
    }
    if (run->events >= 0) {
        json_open("events", '[');
        for (int i = 0; i < run->events; i++) {
            json_open(NULL, '[');
            json_number(NULL, run->event[i][0]);
            json_number(NULL, run->event[i][1]);
            json_close(']');
        }
        json_close(']');
    }
    json_close('}');
}

void run_end(struct run *run) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    run_fact(run, "major_faults", (double)used.ru_majflt);
    run_fact(run, "involuntary_switches", (double)used.ru_nivcsw);
    json_open(NULL, '{');
    json_text("experiment", run->name);
    keys_print(&run->keys);
    print_samples(run);
    json_open("histograms", '{');
    for (int i = 0; i < run->histograms; i++) {
        print_histogram(run->histogram[i].name, &run->histogram[i].of);
    }
    json_close('}');
    print_facts(run);
    json_open("timer", '{');
    json_text("counter", TIMER_COUNTER);
    json_number("hz", ticks_per_s());
    json_close('}');
    json_number("seconds", monotonic_s() - run->begun_s);
    json_close('}');
    json_end();
}

_Noreturn void run_skip(struct run *run, const char *why) {
    json_open(NULL, '{');
    json_text("experiment", run->name);
    keys_print(&run->keys);
    json_text("skipped", why);
    json_number("seconds", monotonic_s() - run->begun_s);
    json_close('}');
    json_end();
    exit(0);
}

void run_sample(struct run *run, const char *name, double value) {
    int place = 0;
    while (place < run->samples && strcmp(run->sample[place].name, name) != 0) {
        place++;
    }
    if (place == MAX_SAMPLES || run->sample[place].count == MAX_REPETITIONS) {
        broken("too many samples of %s", name);
    }
    run->samples = place == run->samples ? place + 1 : run->samples;
    run->sample[place].name = name;
    run->sample[place].values[run->sample[place].count++] = value;
}

static int new_fact(struct run *run, const char *name) {
    if (run->facts == MAX_FACTS) {
        broken("too many facts");
    }
    run->fact[run->facts].name = name;
    return run->facts++;
}

void run_fact(struct run *run, const char *name, double value) {
    run->fact[new_fact(run, name)].number = value;
}

void run_fact_text(struct run *run, const char *name, const char *text) {
    run->fact[new_fact(run, name)].text = text;
}

struct histogram *run_histogram(struct run *run, const char *name) {
    if (run->histograms == MAX_HISTOGRAMS) {
        broken("too many histograms");
    }
    run->histogram[run->histograms].name = name;
    return &run->histogram[run->histograms++].of;
}

struct arena run_memory_on(struct run *run, int64_t bytes, int node) {
    struct arena arena;
    const char *why = arena_map(&arena, (size_t)bytes, run->pages, node);
    if (!why) {
        why = arena_fill(&arena, node);
    }
    if (why) {
        run_skip(run, why);
    }
    return arena;
}

struct arena run_memory(struct run *run, int64_t bytes) {
    struct arena arena = run_memory_on(run, bytes, run->node);
    run_fact_text(run, "pages_by", arena.pages_by);
    run_fact(run, "huge_share", arena.huge_share);
    run_fact(run, "bound", arena.bound);
    if (arena.node_share >= 0) {
        run_fact(run, "node_share", arena.node_share);
    }
    return arena;
}

void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory) {
        broken("out of memory");
    }
    return memory;
}
