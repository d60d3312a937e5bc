/* Chains of pointers, one to a place of memory, and following them. */
#ifndef NUMASIM_CHAIN_H
#define NUMASIM_CHAIN_H

#include <stddef.h>

#include "permutation.h"
#include "run.h"

enum { LINE = 64, SMALL_PAGE = 4096 };

/* A random cycle through `count` places that lie `spacing` bytes apart, the first at `base`. */
void chain_random(char *base, uint32_t count, size_t spacing, struct random *random);

/* Through places `spacing` apart of a 4 KiB page, in random order, then of another page: pages in random order, too.
   Returns where it begins. */
void *chain_pages(char *base, size_t bytes, size_t spacing, struct random *random);

/* Through all lines, `stride` bytes on; past the end, on at the next line not yet visited. */
void chain_stride(char *base, size_t bytes, size_t stride);

/* The pointer after `count` loads from `p` on. */
void *chain_follow(void *p, uint64_t count);

/* The same as a task: goes on from *p, which is what it works on. */
void chain_task(void *p, uint64_t count);

/* A chain of the keys `size` and `within`, through memory as run_memory gives it. */
void *chain_of_keys(struct run *run, uint64_t *lines);

/* So many loads that they take about the ticks of a repetition; the chain goes on at *p. */
uint64_t chain_pace(struct run *run, void **p);

/* One lap, at most 4 Mi loads, not timed, as the fact `warmup`. */
void chain_warm_up(struct run *run, void **p, uint64_t lines);

/* A place the compiler cannot look into: what is put here is not optimised away. */
extern void *volatile chain_sink;

#endif
