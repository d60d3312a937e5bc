/* Bandwidth, and latency under load. */
#include "chain.h"
#include "crew.h"
#include "experiments.h"
#include "output.h"
#include "timer.h"

static int64_t buffer_size(const struct run *run, const char *name) {
    return keys_number(&run->keys, name, SMALL_PAGE, (int64_t)1 << 37);
}

void measure_bandwidth(struct run *run) {
    struct crew *crew = crew_start(run, buffer_size(run, "size"), run->node, 0, true);
    uint64_t length = (uint64_t)run->ticks_a_repetition;
    crew_work(crew, ticks() + length); /* all are under way, and have been through their caches */
    for (int i = 0; run_repeats(run, i); i++) {
        double lines = crew_lines(crew);
        uint64_t begun = ticks();
        crew_work(crew, begun + length);
        lines = crew_lines(crew) - lines;
        crew_sample(run, crew, lines, ticks() - begun);
    }
    crew_stop(crew);
}

void measure_loaded(struct run *run) {
    uint64_t lines, delay = (uint64_t)keys_number(&run->keys, "delay", 0, 10000000);
    int from = (int)keys_number(&run->keys, "from", -1, 1023);
    void *p = chain_of_keys(run, &lines);
    chain_warm_up(run, &p, lines);
    struct crew *crew = crew_start(run, buffer_size(run, "buffer"), from < 0 ? run->node : from, delay, false);
    if (crew_has(crew, run->cpu)) {
        mistake("cpus=%.100s: CPUs other than cpu=%d were expected", keys_text(&run->keys, "cpus"), run->cpu);
    }
    uint64_t count = chain_pace(run, &p); /* under load, as what follows */
    for (int i = 0; run_repeats(run, i); i++) {
        double before = crew_lines(crew);
        uint64_t begun = ticks();
        p = chain_follow(p, count);
        uint64_t spent = ticks() - begun;
        double lines = crew_lines(crew) - before;
        run_sample(run, "latency_ns", ticks_to_ns((double)spent) / (double)count);
        crew_sample(run, crew, lines, spent);
    }
    crew_stop(crew);
    chain_sink = p;
}
