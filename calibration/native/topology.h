/* CPUs, caches and nodes of this host, as /sys tells them. */
#ifndef NUMASIM_TOPOLOGY_H
#define NUMASIM_TOPOLOGY_H

#include <stdbool.h>

#include "threads.h"

enum { MAX_NODES_HERE = 256, MAX_CACHES = 8 };

struct place {
    int cpu, node, package, core;
    int l3; /* lowest CPU that shares the last-level cache; -1: nobody says */
    bool first; /* the first allowed hardware thread of its core? */
};

struct cache {
    int level;
    char kind[20]; /* Data, Instruction, Unified */
    double size_bytes, line_bytes, ways, sets;
    char cpus[200];
};

struct topology {
    int places; /* allowed CPUs that are there, ascending */
    struct place place[MAX_CPUS];
    int caches; /* of the CPU that is asked for */
    struct cache cache[MAX_CACHES];
    int nodes; /* with memory */
    int node[MAX_NODES_HERE];
};

/* The topology of the host, with the caches of `cpu` (-1: of the lowest allowed one). Of a host whose files were put
   elsewhere (sysfs_root) all CPUs are allowed. */
struct topology *topology_read(int cpu);

/* NULL if that CPU is not allowed or not there. */
const struct place *topology_place(const struct topology *topology, int cpu);

/* Bytes of the data or unified cache of that level; 0 if there is none. */
double topology_cache_bytes(const struct topology *topology, int level);

#endif
