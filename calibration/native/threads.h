/* Threads pinned to CPUs, by raw system calls. */
#ifndef NUMASIM_THREADS_H
#define NUMASIM_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { MAX_CPUS = 4096 };

/* CPUs this process might run on when this was first called, which is before anything is pinned; their count. */
int cpus_allowed(int *cpus);

/* Pins the calling thread. False if the CPU is not allowed or not there. */
bool pin(int cpu);

/* Starts a thread that is pinned before it calls work(argument); cpu must be allowed. */
void thread_start(pthread_t *thread, int cpu, void (*work)(void *), void *argument);
void thread_join(pthread_t thread);

/* Told to the processor while a loop waits for another thread. */
static inline void relax(void) {
#if defined(__x86_64__)
    __asm__ volatile("pause");
#else
    __asm__ volatile("yield");
#endif
}

#endif
