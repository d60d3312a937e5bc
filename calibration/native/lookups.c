#include "lookups.h"

struct plain {
    operations *work;
    void *structure;
    uint64_t sum;
};

static void without_stamps(void *given, uint64_t count) {
    struct plain *plain = given;
    plain->work(plain->structure, count, &plain->sum, NULL);
}

void time_operations(struct run *run, void *structure, uint64_t lap, operations *work) {
    static struct histogram part;
    struct histogram *all = run_histogram(run, "operation");
    struct plain plain = {work, structure, 0};
    without_stamps(&plain, lap);
    uint64_t count = run_pace(run, without_stamps, &plain);
    for (int i = 0; run_repeats(run, i); i++) {
        run_sample(run, "operation_ns", run_ns(without_stamps, &plain, count));
        histogram_clear(&part);
        work(structure, count, &plain.sum, &part);
        run_sample(run, "operation_p50_ns", ticks_to_ns(histogram_quantile(&part, 0.5)));
        run_sample(run, "operation_p99_ns", ticks_to_ns(histogram_quantile(&part, 0.99)));
        run_sample(run, "operation_p999_ns", ticks_to_ns(histogram_quantile(&part, 0.999)));
        histogram_merge(all, &part);
    }
    run_fact(run, "operations", (double)count);
    run_fact(run, "warmup", (double)lap);
    chain_sink = (void *)(uintptr_t)plain.sum;
}

bool wants_dependent(const struct run *run) {
    static const char *const words[] = {"no", "yes", NULL};
    return keys_choice(&run->keys, "dependent", words);
}
