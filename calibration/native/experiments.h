/* The table of experiments. */
#ifndef NUMASIM_EXPERIMENTS_H
#define NUMASIM_EXPERIMENTS_H

#include "run.h"

#define KEYS_CPU "cpu=0 repetitions=5 ms=10"
#define KEYS_MEMORY KEYS_CPU " node=0 pages=4k seed=1"

struct experiment {
    const char *name;
    const char *keys; /* with defaults */
    const char *help; /* one line */
    void (*measure)(struct run *run);
};

extern const struct experiment EXPERIMENTS[]; /* ends with a NULL name */

void measure_clock(struct run *run);
void measure_chase(struct run *run);
void measure_stride(struct run *run);
void measure_tlb(struct run *run);
void measure_chains(struct run *run);
void measure_bandwidth(struct run *run);
void measure_loaded(struct run *run);
void measure_pingpong(struct run *run);
void measure_c2c(struct run *run);
void measure_split(struct run *run);
void measure_branch(struct run *run);
void measure_fault(struct run *run);
void measure_migrate(struct run *run);
void measure_access(struct run *run);
void measure_interruptions(struct run *run);
void measure_list(struct run *run);
void measure_hash(struct run *run);
void measure_tree(struct run *run);
void measure_slice(struct run *run);

#endif
