/* One run of one experiment: its keys, and what it found, printed at the end as README.md says. */
#ifndef NUMASIM_RUN_H
#define NUMASIM_RUN_H

#include <stdint.h>
#include <time.h>

#include "arena.h"
#include "histogram.h"
#include "keys.h"
#include "permutation.h"
#include "threads.h"

enum { MAX_SAMPLES = 12, MAX_REPETITIONS = 1000, MAX_FACTS = 24, MAX_HISTOGRAMS = 2, MAX_EVENTS = 4096 };

struct run {
    const char *name;
    struct keys keys;
    double begun_s;
    int cpu, node, repetitions;
    int threads; /* that measure, or make load meanwhile; what each has used of its CPU is on its clock */
    clockid_t clock[MAX_CPUS];
    long switches; /* involuntary ones of all threads, before this repetition */
    double cpu_s, wall_s; /* used by all threads, and passed, before this repetition */
    enum pages pages;
    double ticks_a_repetition; /* of the key ms */
    struct random random;

    int samples;
    struct {
        const char *name;
        int count;
        double values[MAX_REPETITIONS];
    } sample[MAX_SAMPLES];
    int facts;
    struct {
        const char *name, *text; /* text NULL: a number */
        double number;
    } fact[MAX_FACTS];
    int histograms;
    struct {
        const char *name;
        struct histogram of;
    } histogram[MAX_HISTOGRAMS];
    int events; /* -1: none are kept */
    double event[MAX_EVENTS][2];
};

/* Reads the common keys that were declared and pins the calling thread to `cpu`. */
void run_begin(struct run *run);

/* Is there a repetition number `done`? To be called before each: for (int i = 0; run_repeats(run, i); i++). Takes
   samples of the one before: `preempted`, how often a thread of this process had to give way, and `ran_share`, the
   share of the time for which its threads ran. */
bool run_repeats(struct run *run, int done);

/* A thread that was started takes part in the measurement. */
void run_watch(struct run *run, pthread_t thread);

/* Does `count` units of work on something, and time them: ticks, and nanoseconds a unit. */
typedef void task(void *what, uint64_t count);
uint64_t run_ticks(task *work, void *what, uint64_t count);
double run_ns(task *work, void *what, uint64_t count);

/* Units of work that take about the ticks of a repetition; 1 at least. By the least of several trials, each of which is
   short enough that one at least is not interrupted, and long enough for the counter. */
uint64_t run_pace(const struct run *run, task *work, void *what);

/* Prints all. */
void run_end(struct run *run);

/* Prints that this host lacks something, and ends the program (exit code 0). */
_Noreturn void run_skip(struct run *run, const char *why);

/* A value of this repetition. Names are literals: they are kept, not copied. */
void run_sample(struct run *run, const char *name, double value);
void run_fact(struct run *run, const char *name, double value);
void run_fact_text(struct run *run, const char *name, const char *text);
struct histogram *run_histogram(struct run *run, const char *name);

/* Memory as `pages` and `node` want it, filled; or the end (run_skip). With it go the facts about it. */
struct arena run_memory(struct run *run, int64_t bytes);

/* The same on a node of its own, without facts. */
struct arena run_memory_on(struct run *run, int64_t bytes, int node);

/* Memory of malloc, zeroed, or the end of the program. */
void *allocate(size_t bytes);

#endif
