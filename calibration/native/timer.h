/* Time stamps: the processor's own counter, serialised, and how fast it runs. */
#ifndef NUMASIM_TIMER_H
#define NUMASIM_TIMER_H

#include <stdint.h>

#if defined(__x86_64__)
#define TIMER_COUNTER "tsc"

/* Nothing before is still running, nothing after has begun: lfence waits for all earlier instructions (Intel SDM 2B,
   RDTSC; on AMD it does so as Linux sets it up). */
static inline uint64_t ticks(void) {
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* The bare counter: cheap, and may be read a little early or late. */
static inline uint64_t ticks_loose(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

#elif defined(__aarch64__)
#define TIMER_COUNTER "cntvct"

/* dsb waits for loads to be done, isb keeps the counter from being read early (Arm ARM, D11: generic timer). */
static inline uint64_t ticks(void) {
    uint64_t now;
    __asm__ volatile("dsb ish\n\tisb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now) : : "memory");
    return now;
}

static inline uint64_t ticks_loose(void) {
    uint64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now) : : "memory");
    return now;
}

#else
#error "numasim-native knows x86-64 and aarch64 only"
#endif

/* Ticks a second, by CLOCK_MONOTONIC; measured at the first call, which takes some 20 ms. */
double ticks_per_s(void);

/* Nanoseconds of a number of ticks. */
double ticks_to_ns(double count);

/* CLOCK_MONOTONIC in seconds. */
double monotonic_s(void);

#endif
