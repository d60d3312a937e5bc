#include <stdio.h>
#include <stdlib.h>

struct node { struct node *next; long pad[7]; };
enum { NODES = 500, STEPS = 500 };

/* Each load needs the one before it. */
__attribute__((noinline, noipa)) static struct node *walk(struct node *at, long steps) {
    while (steps--) at = at->next;
    return at;
}

/* A load of an index, which needs none, and a load at that index, which needs the first: chains of two. */
__attribute__((noinline, noipa)) static long gather(const long *index, const long *from, long count) {
    long sum = 0;
    for (long i = 0; i < count; i++) sum += from[index[i]];
    return sum;
}

/* The key passes through memory: each look-up needs the one before it by way of a store. */
__attribute__((noinline, noipa)) static long through_memory(volatile long *key, const long *index, long count) {
    while (count--) *key = index[*key];
    return *key;
}

int main(void) {
    struct node *nodes = malloc(NODES * sizeof *nodes);
    long *index = malloc(NODES * sizeof *index), *from = malloc(NODES * sizeof *from);
    static long key;
    unsigned long state = 1;
    for (long i = 0; i < NODES; i++) index[i] = i, from[i] = i;
    for (long i = NODES - 1; i > 0; i--) { /* one cycle through all (Sattolo) */
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        long j = (state >> 33) % i, kept = index[i];
        index[i] = index[j], index[j] = kept;
    }
    for (long i = 0; i < NODES; i++) nodes[i].next = &nodes[index[i]];
    struct node *end = walk(nodes, STEPS);
    printf("%ld %ld %ld\n", (long)(end - nodes), gather(index, from, STEPS), through_memory(&key, index, STEPS));
}
