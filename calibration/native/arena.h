/* Memory with pages of a size, on a node. */
#ifndef NUMASIM_ARENA_H
#define NUMASIM_ARENA_H

#include <stdbool.h>
#include <stddef.h>

enum pages { PAGES_4K, PAGES_2M, PAGES_1G };
extern const char *const PAGES_WORDS[]; /* "4k", "2m", "1g", NULL */

struct arena {
    char *base; /* aligned to the pages */
    size_t bytes; /* a multiple of page_bytes */
    size_t page_bytes;
    const char *pages_by; /* "base", "hugetlb", "transparent" */
    bool bound; /* has mbind put it on the node? */
    double huge_share; /* of the bytes that are in huge pages; once filled */
    double node_share; /* of a sample of pages that is on the node; once filled; -1: nobody says */
};

/* Bytes of a page. */
size_t page_bytes_of(enum pages pages);

/* Maps at least `bytes` and binds them to the node (-1: wherever they are first touched); nothing is touched yet.
   Returns NULL, or why it cannot be had here. */
const char *arena_map(struct arena *arena, size_t bytes, enum pages pages, int node);

/* Touches every page from the calling thread, and looks at what was got. NULL, or why it is not what was asked for. */
const char *arena_fill(struct arena *arena, int node);

/* The second half of arena_fill, for memory that is touched already. */
const char *arena_look(struct arena *arena, int node);

void arena_unmap(struct arena *arena);

/* Bytes that could be had on the node (-1: on the host), by the kernel and the memory limits of this process. */
double memory_free_bytes(int node);

/* Free pages of this size in the reserved pool of the node (-1: of the host). */
double pool_free_pages(size_t page_bytes, int node);

/* move_pages of Linux for this process; nodes NULL: only ask where they are. Negative if it fails. */
long pages_move(unsigned long count, void **pages, const int *nodes, int *status);

/* Are mbind and move_pages allowed here? */
bool can_mbind(void);
bool can_move_pages(void);

#endif
