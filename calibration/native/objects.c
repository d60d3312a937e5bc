#include "objects.h"

#include <sys/prctl.h>

#include "chain.h"
#include "output.h"

struct objects objects_for(struct run *run, size_t bytes) {
    static const char *const allocators[] = {"malloc", "bump", NULL};
    struct objects objects = {0};
    objects.on_heap = keys_choice(&run->keys, "allocator", allocators) == 0;
    if (!objects.on_heap) {
        objects.arena = run_memory(run, (int64_t)bytes + 2 * SMALL_PAGE);
        return objects;
    }
    if (run->pages != PAGES_4K) {
        mistake("allocator=malloc: pages=4k was expected");
    }
    if (bytes > 0.9 * memory_free_bytes(-1)) {
        run_skip(run, "not enough free memory");
    }
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* else a host set to "always" might make huge pages of the heap */
    run_fact_text(run, "pages_by", "base");
    return objects;
}

void *object_new(struct objects *objects, size_t bytes) {
    if (objects->on_heap) {
        return allocate(bytes);
    }
    if (objects->used + bytes > objects->arena.bytes) {
        broken("an arena is too small");
    }
    void *object = objects->arena.base + objects->used;
    objects->used += bytes;
    return object;
}

void *array_new(struct objects *objects, size_t bytes) {
    objects->used = (objects->used + SMALL_PAGE - 1) / SMALL_PAGE * SMALL_PAGE;
    return object_new(objects, bytes);
}
