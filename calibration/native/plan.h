/* What of a protocol can be run on this host: README.md has the words. */
#ifndef NUMASIM_PLAN_H
#define NUMASIM_PLAN_H

/* Prints the runs of a plan file ("-": standard input). cpu: what `first` stands for (-1: the lowest allowed). */
void plan_print(const char *file, int cpu);

#endif
