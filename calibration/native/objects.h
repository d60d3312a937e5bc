/* Where the nodes of a structure lie: on glibc's heap, or one behind the other in an arena. */
#ifndef NUMASIM_OBJECTS_H
#define NUMASIM_OBJECTS_H

#include "run.h"

struct objects {
    bool on_heap;
    struct arena arena;
    size_t used;
};

/* As the key `allocator` wants it; bump: room for `bytes`. With it go the facts about memory. */
struct objects objects_for(struct run *run, size_t bytes);

/* The next object, zeroed. */
void *object_new(struct objects *objects, size_t bytes);

/* An array: on the heap by malloc, or behind the other objects, on a whole page. */
void *array_new(struct objects *objects, size_t bytes);

#endif
