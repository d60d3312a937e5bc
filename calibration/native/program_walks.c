/* Programs to be predicted: walks through a linked list, sums of an array. */
#include <stdlib.h>

#include "experiments.h"
#include "lookups.h"
#include "objects.h"
#include "output.h"

enum { MOST = 1 << 28 };

/* libstdc++'s std::list<uint64_t>. */
struct node {
    struct node *next, *prev;
    uint64_t value;
};

static void walk_list(void *list, uint64_t count, uint64_t *sum, struct histogram *stamped) {
    const struct node *head = list;
    for (; count; count--) {
        uint64_t begun = stamped ? ticks() : 0, total = 0;
        for (const struct node *at = head->next; at != head; at = at->next) {
            total += at->value;
        }
        *sum += total;
        if (stamped) {
            histogram_add(stamped, ticks() - begun);
        }
    }
}

/* What the median walk takes for an element. */
static double median_of(struct run *run) {
    double sorted[MAX_REPETITIONS];
    int count = run->sample[0].count;
    for (int i = 0; i < count; i++) {
        int place = i;
        for (; place > 0 && sorted[place - 1] > run->sample[0].values[i]; place--) {
            sorted[place] = sorted[place - 1];
        }
        sorted[place] = run->sample[0].values[i];
    }
    return sorted[count / 2];
}

void measure_list(struct run *run) {
    static const char *const orders[] = {"sequential", "shuffled", NULL};
    uint32_t length = (uint32_t)keys_number(&run->keys, "length", 1, MOST);
    bool shuffled = keys_choice(&run->keys, "order", orders);
    struct objects objects = objects_for(run, (size_t)length * sizeof(struct node) * 4 / 3);
    struct node **nodes = allocate(length * sizeof *nodes), head = {0}, *last = &head;
    uint32_t *order = allocate(length * sizeof *order);
    for (uint32_t i = 0; i < length; i++) {
        nodes[i] = object_new(&objects, sizeof(struct node));
        nodes[i]->value = i;
        order[i] = i;
    }
    if (shuffled) {
        random_order(order, length, &run->random);
    }
    for (uint32_t i = 0; i < length; i++, last = last->next) {
        struct node *next = nodes[order[i]];
        last->next = next;
        next->prev = last;
    }
    last->next = &head;
    head.prev = last;
    time_operations(run, &head, 1, walk_list);
    run_fact(run, "per_element_ns", median_of(run) / length);
    run_fact_text(run, "layout", "std::list<uint64_t>: node {next 0, prev 8, value 16}, 24 bytes");
    for (uint32_t i = 0; objects.on_heap && i < length; i++) {
        free(nodes[i]);
    }
    free(nodes);
    free(order);
}

struct slice {
    const uint64_t *values;
    uint64_t length;
};

static void sum_slice(void *given, uint64_t count, uint64_t *sum, struct histogram *stamped) {
    const struct slice *slice = given;
    for (; count; count--) {
        uint64_t begun = stamped ? ticks() : 0, total = 0;
        for (uint64_t i = 0; i < slice->length; i++) {
            total += slice->values[i];
            __asm__ volatile("" : "+r"(total)); /* one load an element: no vectors */
        }
        *sum += total;
        if (stamped) {
            histogram_add(stamped, ticks() - begun);
        }
    }
}

void measure_slice(struct run *run) {
    struct slice slice = {.length = (uint64_t)keys_number(&run->keys, "length", 1, (int64_t)1 << 34)};
    struct arena arena = run_memory(run, (int64_t)(slice.length * sizeof *slice.values));
    uint64_t *values = (uint64_t *)(void *)arena.base;
    for (uint64_t i = 0; i < slice.length; i++) {
        values[i] = i;
    }
    slice.values = values;
    time_operations(run, &slice, 1, sum_slice);
    run_fact(run, "per_element_ns", median_of(run) / (double)slice.length);
    run_fact_text(run, "layout", "uint64_t[length], one load an element");
}
