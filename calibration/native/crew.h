/* Threads that make load: each goes through a buffer of its own, again and again, and counts its lines. */
#ifndef NUMASIM_CREW_H
#define NUMASIM_CREW_H

#include "run.h"

struct crew;

/* Starts a thread on each CPU of the key `cpus`, with `bytes` on a node; of R lines of the key `ratio` R:W, W are
   stored to. After each line an empty loop turns `delay` times. Returns when all have their memory; the end, if one has
   not. take_part: the calling thread is the first of them, on its CPU, and works only in crew_work. */
struct crew *crew_start(struct run *run, int64_t bytes, int node, uint64_t delay, bool take_part);

/* The calling thread does its part until the counter is at `until`. */
void crew_work(struct crew *crew, uint64_t until);

/* Lines all have been through so far; within 64 a thread. */
double crew_lines(const struct crew *crew);

/* Share of the lines that are stored to. */
double crew_stored(const struct crew *crew);

void crew_stop(struct crew *crew);

/* Is this CPU in the crew? */
bool crew_has(const struct crew *crew, int cpu);

/* Samples read_gbps and write_gbps of so many lines in so many ticks. */
void crew_sample(struct run *run, const struct crew *crew, double lines, uint64_t spent);

#endif
