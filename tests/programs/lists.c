/* Walks over nodes that malloc() gave one by one.
 *
 *   lists list|pointers shuffled|inorder ELEMENTS WALKS
 *
 * list: each node points to the next.  pointers: an array points to the nodes.  shuffled, inorder: against the order in
 * memory. The first walk warms up. Prints the time of a counted element. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "numasim_markers.h"

struct node {
    struct node *next;
    long value;
};

__attribute__((noinline)) static long walk_list(const struct node *node) {
    long sum = 0;
    for (; node; node = node->next) sum += node->value;
    return sum;
}

__attribute__((noinline)) static long walk_pointers(struct node *const *nodes, long elements) {
    long sum = 0;
    for (long i = 0; i < elements; i++) sum += nodes[i]->value;
    return sum;
}

static double used_ns(void) { /* processor time: others' use of the machine counts less */
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

int main(int count, char **words) {
    if (count != 5) return fprintf(stderr, "lists list|pointers shuffled|inorder ELEMENTS WALKS\n"), 2;
    long elements = atol(words[3]), walks = atol(words[4]), sum = 0;
    struct node **nodes = malloc((size_t)elements * sizeof *nodes);
    for (long i = 0; i < elements; i++) {
        nodes[i] = malloc(sizeof **nodes);
        nodes[i]->value = i;
    }
    unsigned long random = 1;
    for (long i = elements - 1; i > 0 && !strcmp(words[2], "shuffled"); i--) { /* Fisher and Yates */
        random = random * 6364136223846793005ul + 1442695040888963407ul;
        long other = (long)((random >> 33) % (unsigned long)(i + 1));
        struct node *swapped = nodes[i];
        nodes[i] = nodes[other];
        nodes[other] = swapped;
    }
    for (long i = 0; i < elements; i++) nodes[i]->next = i + 1 < elements ? nodes[i + 1] : NULL;
    double start = 0;
    numasim_warm_up();
    for (long walk = 0; walk < walks; walk++) {
        if (walk == 1) {
            start = used_ns();
            numasim_count();
        }
        sum += strcmp(words[1], "list") ? walk_pointers(nodes, elements) : walk_list(nodes[0]);
    }
    numasim_end();
    printf("ns %.2f check %ld\n", (used_ns() - start) / (double)(elements * (walks - 1)), sum);
    return 0;
}
