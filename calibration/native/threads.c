#include "threads.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "output.h"

enum { BITS = 8 * sizeof(unsigned long) };

int cpus_allowed(int *cpus) {
    static unsigned long mask[MAX_CPUS / BITS];
    static bool known;
    int count = 0;
    if (!known && syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0) {
        broken("sched_getaffinity fails");
    }
    known = true;
    for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
        if (mask[cpu / BITS] >> cpu % BITS & 1) {
            cpus[count++] = cpu;
        }
    }
    return count;
}

bool pin(int cpu) {
    unsigned long mask[MAX_CPUS / BITS] = {0};
    if (cpu < 0 || cpu >= MAX_CPUS) {
        return false;
    }
    mask[cpu / BITS] = 1UL << cpu % BITS;
    return syscall(SYS_sched_setaffinity, 0, sizeof mask, mask) == 0;
}

struct start {
    int cpu;
    void (*work)(void *);
    void *argument;
};

static void *begin(void *given) {
    struct start start = *(struct start *)given;
    free(given);
    if (!pin(start.cpu)) {
        broken("no thread can run on CPU %d any more", start.cpu);
    }
    start.work(start.argument);
    return NULL;
}

void thread_start(pthread_t *thread, int cpu, void (*work)(void *), void *argument) {
    struct start *start = malloc(sizeof *start);
    if (!start) {
        broken("out of memory");
    }
    *start = (struct start){cpu, work, argument};
    int failed = pthread_create(thread, NULL, begin, start);
    if (failed) {
        broken("no thread can be started: %s", strerror(failed));
    }
}

void thread_join(pthread_t thread) {
    pthread_join(thread, NULL);
}
