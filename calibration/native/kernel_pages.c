/* What the kernel takes for pages: first touch, and moving them to another node. */
#include <stdlib.h>

#include "chain.h"
#include "experiments.h"
#include "timer.h"

/* Nanoseconds a touch, of `count` places a page apart. */
static double touch_ns(const struct arena *arena, size_t count, bool store) {
    uint64_t begun = ticks();
    for (size_t i = 0; i < count; i++) {
        volatile char *place = arena->base + i * arena->page_bytes;
        if (store) {
            *place = 1;
        } else {
            (void)*place;
        }
    }
    return ticks_to_ns((double)(ticks() - begun)) / (double)count;
}

static struct arena fresh(struct run *run, size_t count) {
    struct arena arena;
    const char *why = arena_map(&arena, count * page_bytes_of(run->pages), run->pages, run->node);
    if (why) {
        run_skip(run, why);
    }
    return arena;
}

void measure_fault(struct run *run) {
    size_t count = (size_t)keys_number(&run->keys, "count", 1, 1 << 24);
    struct arena arena;
    for (int i = 0; run_repeats(run, i); i++) {
        arena = fresh(run, count);
        run_sample(run, "touch_ns", touch_ns(&arena, count, true));
        run_sample(run, "again_ns", touch_ns(&arena, count, true));
        const char *why = arena_look(&arena, run->node);
        if (why) {
            run_skip(run, why);
        }
        arena_unmap(&arena);
        if (run->pages == PAGES_4K) {
            struct arena empty = fresh(run, count);
            run_sample(run, "read_ns", touch_ns(&empty, count, false));
            arena_unmap(&empty);
        }
    }
    run_fact_text(run, "pages_by", arena.pages_by);
    run_fact(run, "page_bytes", (double)arena.page_bytes);
    run_fact(run, "bound", arena.bound);
    run_fact(run, "huge_share", arena.huge_share);
    if (arena.node_share >= 0) {
        run_fact(run, "node_share", arena.node_share);
    }
}

void measure_migrate(struct run *run) {
    size_t count = (size_t)keys_number(&run->keys, "count", 1, 1 << 24);
    int to = (int)keys_number(&run->keys, "to", 0, 1023);
    void **pages = allocate(count * sizeof *pages);
    int *nodes = allocate(count * sizeof *nodes), *status = allocate(count * sizeof *status);
    if (run->pages != PAGES_4K) {
        run_skip(run, "only pages=4k are moved");
    }
    if (run->node < 0 || run->node == to || memory_free_bytes(to) <= 0) {
        run_skip(run, "there is no second node with memory");
    }
    for (int i = 0; run_repeats(run, i); i++) {
        struct arena arena = run_memory_on(run, (int64_t)(count * SMALL_PAGE), run->node);
        for (size_t page = 0; page < count; page++) {
            pages[page] = arena.base + page * SMALL_PAGE;
            nodes[page] = to;
        }
        uint64_t begun = ticks();
        long failed = pages_move(count, pages, nodes, status);
        uint64_t spent = ticks() - begun;
        if (failed) {
            run_skip(run, "move_pages is not allowed here, or does not move them");
        }
        run_sample(run, "page_ns", ticks_to_ns((double)spent) / (double)count);
        arena_unmap(&arena);
    }
    run_fact(run, "page_bytes", SMALL_PAGE);
    free(pages);
    free(nodes);
    free(status);
}
