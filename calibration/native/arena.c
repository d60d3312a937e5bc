#include "arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sysfs.h"

/* of linux/mempolicy.h and linux/mman.h, which are not everywhere */
enum { POLICY_BIND = 2, MAX_NODES = 1024, HUGE_SHIFT = 26, COLLAPSE = 25, MOVE_OWN = 2 };
enum { BITS = 8 * sizeof(unsigned long) };

const char *const PAGES_WORDS[] = {"4k", "2m", "1g", NULL};

size_t page_bytes_of(enum pages pages) {
    return pages == PAGES_4K ? (size_t)4096 : pages == PAGES_2M ? (size_t)2 << 20 : (size_t)1 << 30;
}

static long bind_to(void *base, size_t bytes, int node) {
    unsigned long mask[MAX_NODES / BITS] = {0};
    mask[node / BITS] = 1UL << node % BITS;
    return syscall(SYS_mbind, base, bytes, POLICY_BIND, mask, (unsigned long)MAX_NODES, 0UL);
}

long pages_move(unsigned long count, void **pages, const int *nodes, int *status) {
    return syscall(SYS_move_pages, 0, count, pages, nodes, status, nodes ? MOVE_OWN : 0);
}

bool can_mbind(void) {
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int nodes[MAX_NODES];
    char text[1000];
    sysfs_text(text, sizeof text, "/sys/devices/system/node/has_memory");
    bool can = base != MAP_FAILED && list_parse(text, nodes, MAX_NODES) > 0 && bind_to(base, bytes, nodes[0]) == 0;
    if (base != MAP_FAILED) {
        munmap(base, bytes);
    }
    return can;
}

bool can_move_pages(void) {
    int status = -1, here = 0;
    void *page = (void *)((uintptr_t)&here & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1));
    return pages_move(1, &page, NULL, &status) >= 0;
}

/* What a control group (version 2) leaves of its memory; infinite where nothing limits it. */
static double group_free_bytes(void) {
    double most = sysfs_number(-1, "/sys/fs/cgroup/memory.max");
    return most < 0 ? 1e18 : most - sysfs_number(0, "/sys/fs/cgroup/memory.current");
}

double memory_free_bytes(int node) {
    double kib;
    if (node < 0) {
        kib = sysfs_entry(0, "MemAvailable:", "/proc/meminfo");
    } else { /* a page cache nobody uses goes when memory is needed */
        kib = sysfs_entry(0, "MemFree:", "/sys/devices/system/node/node%d/meminfo", node) +
              sysfs_entry(0, "Inactive(file):", "/sys/devices/system/node/node%d/meminfo", node);
    }
    double group = group_free_bytes();
    return group < 1024 * kib ? group : 1024 * kib;
}

double pool_free_pages(size_t page_bytes, int node) {
    size_t kib = page_bytes / 1024;
    if (node < 0) {
        return sysfs_number(0, "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages", kib);
    }
    return sysfs_number(0, "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB/free_hugepages", node, kib);
}

static char *map(size_t bytes, int flags) {
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

/* Of a mapping with room to spare, the part that is aligned; the rest is given back. */
static char *map_aligned(size_t bytes, size_t to) {
    char *base = map(bytes + to, MAP_NORESERVE);
    if (!base) {
        return NULL;
    }
    size_t before = (to - (uintptr_t)base % to) % to;
    if (before) {
        munmap(base, before);
    }
    if (to - before) {
        munmap(base + before + bytes, to - before);
    }
    return base + before;
}

static const char *map_huge(struct arena *arena, enum pages pages, int node, bool enough) {
    double wanted = (double)(arena->bytes / arena->page_bytes);
    int order = pages == PAGES_2M ? 21 : 30;
    if (pool_free_pages(arena->page_bytes, node) >= wanted) {
        arena->base = map(arena->bytes, MAP_HUGETLB | (int)((unsigned)order << HUGE_SHIFT));
        arena->pages_by = "hugetlb";
        if (arena->base) {
            return NULL;
        }
    }
    if (pages == PAGES_1G) {
        return "no 1g pages are reserved (or not enough), and there are no transparent ones of that size";
    }
    if (!enough) {
        return "not enough free memory";
    }
    arena->pages_by = "transparent";
    arena->base = map_aligned(arena->bytes, arena->page_bytes);
    if (arena->base && madvise(arena->base, arena->bytes, MADV_HUGEPAGE) != 0) {
        arena_unmap(arena);
        return "no 2m pages are reserved (or not enough), and this kernel has no transparent ones";
    }
    return NULL;
}

const char *arena_map(struct arena *arena, size_t bytes, enum pages pages, int node) {
    size_t unit = page_bytes_of(pages);
    *arena = (struct arena){.bytes = (bytes + unit - 1) / unit * unit, .page_bytes = unit, .node_share = -1};
    bool enough = (double)arena->bytes < 0.95 * memory_free_bytes(node);
    if (pages == PAGES_4K) {
        if (!enough) {
            return "not enough free memory";
        }
        if (sysconf(_SC_PAGESIZE) != 4096) {
            return "this kernel has no 4k pages";
        }
        arena->pages_by = "base";
        arena->base = map_aligned(arena->bytes, page_bytes_of(PAGES_2M));
        if (arena->base) {
            madvise(arena->base, arena->bytes, MADV_NOHUGEPAGE); /* fails where there are none: all the better */
        }
    } else {
        const char *why = map_huge(arena, pages, node, enough);
        if (why) {
            return why;
        }
    }
    if (!arena->base) {
        return "the memory cannot be mapped";
    }
    if (node >= 0) {
        arena->bound = bind_to(arena->base, arena->bytes, node) == 0;
        if (!arena->bound) {
            const char *why = errno == EINVAL ? "there is no memory on that node" : "mbind is not allowed here";
            arena_unmap(arena);
            return why;
        }
    }
    return NULL;
}

void arena_unmap(struct arena *arena) {
    munmap(arena->base, arena->bytes);
    arena->base = NULL;
}

/* Bytes of the arena in transparent huge pages, as /proc/self/smaps has them. */
static double transparent_bytes(const struct arena *arena) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[1000];
    bool inside = false;
    double kib = 0, found;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long first, last;
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
            inside = first < (unsigned long)arena->base + arena->bytes && last > (unsigned long)arena->base;
        } else if (inside && sscanf(line, "AnonHugePages: %lf", &found) == 1) {
            kib += found;
        }
    }
    if (file) {
        fclose(file);
    }
    return 1024 * kib;
}

static double share_on_node(const struct arena *arena, int node) {
    enum { SAMPLE = 64 };
    void *pages[SAMPLE];
    int status[SAMPLE], right = 0;
    for (int i = 0; i < SAMPLE; i++) {
        pages[i] = arena->base + arena->bytes / SAMPLE * (size_t)i / 4096 * 4096;
    }
    if (pages_move(SAMPLE, pages, NULL, status) < 0) {
        return -1;
    }
    for (int i = 0; i < SAMPLE; i++) {
        right += status[i] == node;
    }
    return (double)right / SAMPLE;
}

const char *arena_fill(struct arena *arena, int node) {
    for (size_t at = 0; at < arena->bytes; at += 4096) {
        *(volatile char *)(arena->base + at) = 0;
    }
    return arena_look(arena, node);
}

const char *arena_look(struct arena *arena, int node) {
    if (strcmp(arena->pages_by, "hugetlb") == 0) {
        arena->huge_share = 1;
    } else {
        arena->huge_share = transparent_bytes(arena) / (double)arena->bytes;
    }
    if (strcmp(arena->pages_by, "transparent") == 0 && arena->huge_share < 0.95) {
        madvise(arena->base, arena->bytes, COLLAPSE); /* since Linux 6.1; elsewhere it fails */
        arena->huge_share = transparent_bytes(arena) / (double)arena->bytes;
        if (arena->huge_share < 0.95) {
            return "no 2m pages are reserved (or not enough), and the kernel gave too few transparent ones";
        }
    }
    arena->node_share = node >= 0 ? share_on_node(arena, node) : -1;
    return NULL;
}
