#include "chain.h"

#include <stdlib.h>

#include "output.h"

void *volatile chain_sink;

static uint32_t *numbers(size_t count) {
    return allocate(count * sizeof(uint32_t));
}

void chain_random(char *base, uint32_t count, size_t spacing, struct random *random) {
    uint32_t *next = numbers(count);
    random_cycle(next, count, random);
    for (uint32_t i = 0; i < count; i++) {
        *(void **)(base + i * spacing) = base + next[i] * spacing;
    }
    free(next);
}

void *chain_pages(char *base, size_t bytes, size_t spacing, struct random *random) {
    uint32_t pages = (uint32_t)(bytes / SMALL_PAGE), places = (uint32_t)(SMALL_PAGE / spacing);
    uint32_t *page = numbers(pages), *place = numbers(places);
    void *first = NULL, **last = NULL;
    random_order(page, pages, random);
    for (uint32_t i = 0; i < pages; i++) {
        random_order(place, places, random);
        for (uint32_t j = 0; j < places; j++) {
            void **here = (void **)(base + (size_t)page[i] * SMALL_PAGE + place[j] * spacing);
            if (last) {
                *last = here;
            } else {
                first = here;
            }
            last = here;
        }
    }
    *last = first;
    free(page);
    free(place);
    return first;
}

void chain_stride(char *base, size_t bytes, size_t stride) {
    for (size_t at = 0; at < bytes; at += LINE) {
        size_t next = at + stride;
        if (next >= bytes) { /* begin another row, a line further in */
            next = (at % stride + LINE) % stride;
        }
        *(void **)(base + at) = base + next;
    }
}

void *chain_follow(void *p, uint64_t count) {
    for (; count >= 8; count -= 8) {
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
        p = *(void **)p;
    }
    for (; count; count--) {
        p = *(void **)p;
    }
    return p;
}

void *chain_of_keys(struct run *run, uint64_t *lines) {
    static const char *const within[] = {"all", "page", NULL};
    int64_t size = keys_number(&run->keys, "size", LINE, (int64_t)1 << 37) / LINE * LINE;
    bool by_page = keys_choice(&run->keys, "within", within);
    if (by_page && size % SMALL_PAGE) {
        mistake("size=%lld with within=page: whole pages of %d bytes were expected", (long long)size, SMALL_PAGE);
    }
    struct arena arena = run_memory(run, size);
    *lines = (uint64_t)size / LINE;
    if (by_page) {
        return chain_pages(arena.base, (size_t)size, LINE, &run->random);
    }
    chain_random(arena.base, (uint32_t)*lines, LINE, &run->random);
    return arena.base;
}

void chain_task(void *p, uint64_t count) {
    *(void **)p = chain_follow(*(void **)p, count);
}

uint64_t chain_pace(struct run *run, void **p) {
    uint64_t count = (run_pace(run, chain_task, p) + 7) / 8 * 8;
    run_fact(run, "accesses", (double)count);
    return count;
}

void chain_warm_up(struct run *run, void **p, uint64_t lines) {
    uint64_t count = lines < (4 << 20) ? lines : 4 << 20;
    run_fact(run, "warmup", (double)count);
    *p = chain_follow(*p, count);
}
