#include "topology.h"

#include <stdio.h>
#include <string.h>

#include "output.h"
#include "run.h"
#include "sysfs.h"

#define CPU "/sys/devices/system/cpu/cpu%d/"

static void read_caches(struct topology *topology, int cpu) {
    for (int index = 0; index < MAX_CACHES; index++) {
        struct cache *cache = &topology->cache[topology->caches];
        char unit;
        cache->level = (int)sysfs_number(-1, CPU "cache/index%d/level", cpu, index);
        if (cache->level < 0) {
            break;
        }
        char size[40];
        double number = 0;
        sysfs_text(cache->kind, sizeof cache->kind, CPU "cache/index%d/type", cpu, index);
        sysfs_text(size, sizeof size, CPU "cache/index%d/size", cpu, index);
        if (sscanf(size, "%lf%c", &number, &unit) == 2) {
            number *= unit == 'K' ? 1024 : unit == 'M' ? 1048576 : 1;
        }
        cache->size_bytes = number;
        cache->line_bytes = sysfs_number(0, CPU "cache/index%d/coherency_line_size", cpu, index);
        cache->ways = sysfs_number(0, CPU "cache/index%d/ways_of_associativity", cpu, index);
        cache->sets = sysfs_number(0, CPU "cache/index%d/number_of_sets", cpu, index);
        sysfs_text(cache->cpus, sizeof cache->cpus, CPU "cache/index%d/shared_cpu_list", cpu, index);
        topology->caches++;
    }
}

/* Lowest CPU of the list in a file; -1 if there is none. */
static int lowest_of(int cpu, int index) {
    return (int)sysfs_number(-1, CPU "cache/index%d/shared_cpu_list", cpu, index);
}

/* The first CPU that shares the cache of the highest level, 3 at least, with this one. */
static int last_level(int cpu) {
    int found = -1, level = 2;
    for (int index = 0; index < MAX_CACHES; index++) {
        int here = (int)sysfs_number(-1, CPU "cache/index%d/level", cpu, index);
        if (here > level) {
            level = here;
            found = lowest_of(cpu, index);
        }
    }
    return found;
}

static void read_place(struct topology *topology, int cpu) {
    struct place *place = &topology->place[topology->places];
    *place = (struct place){.cpu = cpu, .first = true};
    place->package = (int)sysfs_number(0, CPU "topology/physical_package_id", cpu);
    place->core = (int)sysfs_number(cpu, CPU "topology/core_id", cpu);
    place->l3 = last_level(cpu);
    for (int i = 0; i < topology->places; i++) {
        const struct place *before = &topology->place[i];
        if (before->package == place->package && before->core == place->core) {
            place->first = false;
        }
    }
    topology->places++;
}

static void read_nodes(struct topology *topology) {
    static int cpus[MAX_CPUS];
    static char list[16384];
    sysfs_text(list, sizeof list, "/sys/devices/system/node/has_memory");
    topology->nodes = list_parse(list, topology->node, MAX_NODES_HERE);
    if (topology->nodes <= 0) { /* a kernel without NUMA */
        topology->nodes = 1;
        topology->node[0] = 0;
    }
    int online[MAX_NODES_HERE];
    sysfs_text(list, sizeof list, "/sys/devices/system/node/online");
    int nodes = list_parse(list, online, MAX_NODES_HERE);
    for (int i = 0; i < nodes; i++) {
        sysfs_text(list, sizeof list, "/sys/devices/system/node/node%d/cpulist", online[i]);
        int count = list_parse(list, cpus, MAX_CPUS);
        for (int j = 0; j < count; j++) {
            struct place *place = (struct place *)topology_place(topology, cpus[j]);
            if (place) {
                place->node = online[i];
            }
        }
    }
}

struct topology *topology_read(int cpu) {
    static int cpus[MAX_CPUS];
    static char list[16384];
    struct topology *topology = allocate(sizeof *topology);
    int count;
    if (*sysfs_root) {
        sysfs_text(list, sizeof list, "/sys/devices/system/cpu/online");
        count = list_parse(list, cpus, MAX_CPUS);
    } else {
        count = cpus_allowed(cpus);
    }
    for (int i = 0; i < count; i++) {
        read_place(topology, cpus[i]);
    }
    if (topology->places == 0) {
        broken("/sys/devices/system/cpu names no CPU");
    }
    read_nodes(topology);
    read_caches(topology, cpu < 0 ? topology->place[0].cpu : cpu);
    return topology;
}

const struct place *topology_place(const struct topology *topology, int cpu) {
    for (int i = 0; i < topology->places; i++) {
        if (topology->place[i].cpu == cpu) {
            return &topology->place[i];
        }
    }
    return NULL;
}

double topology_cache_bytes(const struct topology *topology, int level) {
    for (int i = 0; i < topology->caches; i++) {
        if (topology->cache[i].level == level && strcmp(topology->cache[i].kind, "Instruction") != 0) {
            return topology->cache[i].size_bytes;
        }
    }
    return 0;
}
