/* Distributions: of the latency of single loads, and of the gaps in which a thread is stopped. */
#include "chain.h"
#include "experiments.h"
#include "output.h"
#include "timer.h"

struct stamped {
    void *p; /* where the chain goes on */
    struct histogram into;
};

/* `count` loads, each between two time stamps. */
static void stamp_loads(void *given, uint64_t count) {
    struct stamped *stamped = given;
    struct histogram *into = &stamped->into;
    void *at = stamped->p;
    for (; count; count--) {
        uint64_t begun = ticks();
        at = *(void *volatile *)at;
        histogram_add(into, ticks() - begun);
    }
    stamped->p = at;
}

/* The same with nothing between the stamps. */
static void stamp_nothing(uint64_t count, struct histogram *into) {
    for (; count; count--) {
        uint64_t begun = ticks();
        histogram_add(into, ticks() - begun);
    }
}

static uint64_t common_step(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The counter may advance by more than one: the greatest common divisor of many differences. */
static uint64_t counter_step(void) {
    uint64_t step = 0, last = ticks();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = ticks();
        step = common_step(step, now - last);
        last = now;
    }
    return step;
}

static void sample_percentiles(struct run *run, const struct histogram *from) {
    static const struct {
        const char *name;
        double share;
    } wanted[] = {{"p50_ns", 0.5}, {"p90_ns", 0.9}, {"p99_ns", 0.99}, {"p999_ns", 0.999}, {"p9999_ns", 0.9999}};
    run_sample(run, "mean_ns", ticks_to_ns(from->sum / (double)from->count));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        run_sample(run, wanted[i].name, ticks_to_ns(histogram_quantile(from, wanted[i].share)));
    }
    run_sample(run, "max_ns", ticks_to_ns((double)from->max));
}

void measure_access(struct run *run) {
    static struct histogram nothing;
    static struct stamped loads;
    struct histogram *access = run_histogram(run, "access"), *empty = run_histogram(run, "empty");
    uint64_t lines;
    double loop = 0;
    loads.p = chain_of_keys(run, &lines);
    chain_warm_up(run, &loads.p, lines);
    uint64_t count = run_pace(run, stamp_loads, &loads);
    for (int i = 0; run_repeats(run, i); i++) {
        histogram_clear(&loads.into);
        histogram_clear(&nothing);
        loop = run_ns(stamp_loads, &loads, count);
        stamp_nothing(count / 10 + 1, &nothing);
        sample_percentiles(run, &loads.into);
        run_sample(run, "empty_p50_ns", ticks_to_ns(histogram_quantile(&nothing, 0.5)));
        histogram_merge(access, &loads.into);
        histogram_merge(empty, &nothing);
    }
    run_fact(run, "accesses", (double)count);
    run_fact(run, "step_ticks", (double)counter_step());
    run_fact(run, "loop_ns", loop);
    chain_sink = loads.p;
}

struct spell {
    uint64_t gaps, dropped;
    double lost;
};

/* Reads the counter until `length` ticks have passed; a gap above the threshold is an interruption. */
static struct spell spin(struct run *run, uint64_t length, uint64_t threshold, struct histogram *gaps,
                         struct histogram *spacing) {
    struct spell found = {0};
    uint64_t begun = ticks(), last = begun, before = 0;
    while (last - begun < length) {
        uint64_t now = ticks_loose(), gap = now - last;
        if (gap > threshold && now > last) {
            histogram_add(gaps, gap);
            found.lost += (double)gap;
            if (found.gaps++) {
                histogram_add(spacing, last - before);
            }
            before = last;
            if (run->events < 0) {
                found.dropped++;
            } else if (run->events < MAX_EVENTS) {
                run->event[run->events][0] = ticks_to_ns((double)(last - begun));
                run->event[run->events++][1] = ticks_to_ns((double)gap);
            } else {
                found.dropped++;
            }
            now = ticks_loose(); /* the booking of it is no gap */
        }
        last = now;
    }
    return found;
}

static double quiet_gap_ns(void) {
    static struct histogram gaps;
    uint64_t last = ticks(), most = 0;
    unsigned commonest = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = ticks_loose();
        histogram_add(&gaps, now > last ? now - last : 0);
        last = now;
    }
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (gaps.buckets[bucket] > most) {
            most = gaps.buckets[bucket];
            commonest = bucket;
        }
    }
    return ticks_to_ns((double)histogram_low(commonest));
}

void measure_interruptions(struct run *run) {
    static struct histogram part;
    double threshold = (double)keys_number(&run->keys, "threshold", 100, 1000000000) * 1e-9 * ticks_per_s();
    struct histogram *length = run_histogram(run, "length"), *spacing = run_histogram(run, "spacing");
    uint64_t dropped = 0;
    for (int i = 0; run_repeats(run, i); i++) {
        histogram_clear(&part);
        bool first = i == 0;
        int kept = run->events;
        run->events = first ? 0 : -1;
        struct spell found = spin(run, (uint64_t)run->ticks_a_repetition, (uint64_t)threshold, &part, spacing);
        run->events = first ? run->events : kept;
        dropped = first ? found.dropped : dropped;
        run_sample(run, "per_s", (double)found.gaps * ticks_per_s() / run->ticks_a_repetition);
        run_sample(run, "lost_share", found.lost / run->ticks_a_repetition);
        run_sample(run, "p50_ns", ticks_to_ns(histogram_quantile(&part, 0.5)));
        run_sample(run, "p99_ns", ticks_to_ns(histogram_quantile(&part, 0.99)));
        run_sample(run, "max_ns", ticks_to_ns((double)part.max));
        histogram_merge(length, &part);
    }
    run_fact(run, "events_dropped", (double)dropped);
    run_fact(run, "quiet_ns", quiet_gap_ns());
}
