/* A program to be predicted: look-ups in a balanced tree whose nodes are libstdc++'s std::map<uint64_t, uint64_t>. */
#include <stdlib.h>

#include "experiments.h"
#include "lookups.h"
#include "objects.h"

struct node {
    uint64_t colour;
    struct node *parent, *left, *right;
    uint64_t key, value;
};

enum { MOST = 1 << 28 };

static uint64_t key_of(uint64_t rank) {
    return rank;
}

/* std::map::find: the first node that is not less, by a way down to a null pointer; then, is it the key? The branches
   stay branches, as in the program that numasim's tree workload was read from. */
static inline uint64_t find(const void *root, uint64_t key) {
    const struct node *at = root, *answer = NULL;
    while (at) {
        const struct node *left = at->left, *right = at->right;
        if (at->key < key) {
            __asm__ volatile("");
            at = right;
        } else {
            __asm__ volatile("");
            answer = at;
            at = left;
        }
    }
    return answer->key == key ? answer->value : 0; /* there is one: all that are looked for are there */
}

LOOK_UPS(find, key_of)

/* The tree of ranks [low, high) by bisection; as deep as the logarithm of their number. */
static struct node *bisect(struct node **nodes, uint32_t low, uint32_t high, struct node *parent) {
    if (low == high) {
        return NULL;
    }
    uint32_t middle = low + (high - low) / 2;
    struct node *node = nodes[middle];
    node->parent = parent;
    node->left = bisect(nodes, low, middle, node);
    node->right = bisect(nodes, middle + 1, high, node);
    return node;
}

void measure_tree(struct run *run) {
    static const char *const orders[] = {"sequential", "shuffled", NULL};
    uint32_t length = (uint32_t)keys_number(&run->keys, "length", 2, MOST);
    bool shuffled = keys_choice(&run->keys, "order", orders);
    struct objects objects = objects_for(run, length * sizeof(struct node));
    struct node **nodes = allocate(length * sizeof *nodes);
    uint32_t *order = allocate(length * sizeof *order);
    for (uint32_t i = 0; i < length; i++) {
        order[i] = i;
    }
    if (shuffled) {
        random_order(order, length, &run->random);
    }
    for (uint32_t i = 0; i < length; i++) { /* object number i is of rank order[i] */
        struct node *node = object_new(&objects, sizeof(struct node));
        node->key = order[i];
        nodes[order[i]] = node;
    }
    struct node *root = bisect(nodes, 0, length, NULL);
    struct look_ups us = {root, length, random_next(&run->random) | 1};
    time_operations(run, &us, length, wants_dependent(run) ? dependent_ones : independent_ones);
    run_fact_text(run, "layout",
                  "std::map<uint64_t, uint64_t>: node {colour 0, parent 8, left 16, right 24, key 32, value 40}, "
                  "48 bytes; balanced by bisection");
    for (uint32_t i = 0; objects.on_heap && i < length; i++) {
        free(nodes[i]);
    }
    free(nodes);
    free(order);
}
