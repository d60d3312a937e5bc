/* A program to be predicted: look-ups in a hash table as libstdc++'s std::unordered_map<uint64_t, uint64_t> lays it
   out: one list of nodes, in which those of a bucket are neighbours; a bucket points to the node before its first. */
#include <stdlib.h>

#include "experiments.h"
#include "lookups.h"
#include "objects.h"
#include "output.h"

struct node {
    struct node *next;
    uint64_t key, value;
};

struct table {
    struct node **buckets;
    uint64_t size;
    struct node head; /* the node before all others */
};

/* Bucket counts of a table that grows element by element, as observed with gcc 12. */
static const uint64_t SIZES[] = {
    13,    29,     59,     127,    257,     541,     1109,    2357,     5087,     10273,    20753,     42043,
    85229, 172933, 351061, 712697, 1447153, 2938679, 5967347, 12117689, 24607243, 49969847, 101473717,
};

enum { MOST = 100000000 };

static uint64_t key_of(uint64_t rank) {
    return splitmix64(rank);
}

/* The node before the one with this key, or NULL. */
static inline struct node *before(const struct table *table, uint64_t key) {
    uint64_t bucket = key % table->size;
    struct node *last = table->buckets[bucket];
    if (!last) {
        return NULL;
    }
    for (struct node *at = last->next;; last = at, at = at->next) {
        if (at->key == key) {
            return last;
        }
        if (!at->next || at->next->key % table->size != bucket) {
            return NULL;
        }
    }
}

static inline uint64_t find(const void *given, uint64_t key) {
    return before(given, key)->next->value; /* all that are looked for are there */
}

LOOK_UPS(find, key_of)

static void insert(struct table *table, struct node *node) {
    struct node **bucket = &table->buckets[node->key % table->size];
    if (*bucket) {
        node->next = (*bucket)->next;
        (*bucket)->next = node;
        return;
    }
    node->next = table->head.next; /* a new bucket goes to the front of the list */
    table->head.next = node;
    if (node->next) {
        table->buckets[node->next->key % table->size] = node;
    }
    *bucket = &table->head;
}

void measure_hash(struct run *run) {
    uint32_t length = (uint32_t)keys_number(&run->keys, "length", 2, MOST);
    struct table table = {0};
    for (int i = 0; table.size < length; i++) {
        table.size = SIZES[i];
    }
    struct objects objects = objects_for(run, length * sizeof(struct node) + table.size * sizeof(struct node *));
    struct node **nodes = allocate(length * sizeof *nodes);
    for (uint32_t i = 0; i < length; i++) {
        nodes[i] = object_new(&objects, sizeof(struct node));
        nodes[i]->key = key_of(i);
    }
    table.buckets = array_new(&objects, table.size * sizeof *table.buckets);
    for (uint32_t i = 0; i < length; i++) {
        insert(&table, nodes[i]);
    }
    struct look_ups us = {&table, length, random_next(&run->random) | 1};
    time_operations(run, &us, length, wants_dependent(run) ? dependent_ones : independent_ones);
    run_fact(run, "buckets", (double)table.size);
    run_fact_text(run, "layout", "std::unordered_map<uint64_t, uint64_t>: node {next 0, key 8, value 16}, 24 bytes");
    for (uint32_t i = 0; objects.on_heap && i < length; i++) {
        free(nodes[i]);
    }
    if (objects.on_heap) {
        free(table.buckets);
    }
    free(nodes);
}
