/* Marks a program for `numasim trace record`: what counts, operations, stretches. C and C++ on Linux; include it and
 * call. Each call is one 8-byte store into a page of its own; outside of a recording it does nothing else. */
#ifndef NUMASIM_MARKERS_H
#define NUMASIM_MARKERS_H
#include <stdint.h>
#include <sys/mman.h>

#define NUMASIM_PAGE 0x0a0000000000ull
#ifndef MAP_ANONYMOUS /* -std=c99 hides it */
#define MAP_ANONYMOUS 0x20
#endif

/* Runs before main(). If it is included in several files the page is mapped several times, which does no harm. */
__attribute__((constructor)) static void numasim_map_page(void) {
    (void)mmap((void *)NUMASIM_PAGE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static inline void numasim_mark(unsigned offset) {
    __asm__ volatile("" ::: "memory"); /* the compiler moves nothing over the mark */
    *(volatile uint64_t *)(NUMASIM_PAGE + offset) = 1;
    __asm__ volatile("" ::: "memory");
}

static inline void numasim_warm_up(void) { numasim_mark(0x80); } /* simulated from here, not counted */
static inline void numasim_count(void) { numasim_mark(0x00); }   /* counted from here */
static inline void numasim_end(void) { numasim_mark(0x40); }     /* left out from here */

/* One look-up, one request: what is to have a latency of its own. */
static inline void numasim_operation_begins(void) { numasim_mark(0x48); }
static inline void numasim_operation_ends(void) { numasim_mark(0x50); }

/* A stretch of the program that the results tell apart, by a number from 0 to 95. */
static inline void numasim_stretch_begins(unsigned id) { numasim_mark(0x100 + 8 * id); }
static inline void numasim_stretch_ends(unsigned id) { numasim_mark(0x400 + 8 * id); }
#endif
