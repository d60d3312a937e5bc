/* Words of a plan that depend on the host, and what they stand for. */
#ifndef NUMASIM_WORDS_H
#define NUMASIM_WORDS_H

#include <stdbool.h>

#include "keys.h"
#include "topology.h"

enum { MOST_MEANINGS = MAX_CPUS };

struct meanings {
    int count;
    char *text[MOST_MEANINGS]; /* to be freed */
    const char *why; /* there are none */
};

struct setting {
    const struct topology *topology;
    const struct place *first; /* the CPU that `first` stands for */
    const struct place *cpu; /* the CPU of this run; NULL while it is looked for */
    bool bind; /* is mbind allowed? */
};

/* Adds to `found` what a word stands for as the value of a key. A word that is wrong anywhere is a mistake. */
void words_resolve(struct meanings *found, const struct setting *setting, const char *key, const char *word);

#endif
