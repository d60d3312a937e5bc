/* key=value words: declared by a text of defaults, set by the command line, read by experiments. */
#ifndef NUMASIM_KEYS_H
#define NUMASIM_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_KEYS = 24, MAX_NAME = 24, MAX_VALUE = 4096 };

struct keys {
    int count;
    char names[MAX_KEYS][MAX_NAME];
    char values[MAX_KEYS][MAX_VALUE];
};

/* Adds the keys of "size=64m within=all", with these defaults. A key declared again gets the new default. */
void keys_declare(struct keys *keys, const char *defaults);

/* Sets a declared key from the word "size=4k"; anything else is a mistake. */
void keys_set(struct keys *keys, const char *word);

/* NULL if there is no such key. */
const char *keys_find(const struct keys *keys, const char *name);

/* Values of declared keys. A value that is no number in the range, or none of the words, is a mistake. */
const char *keys_text(const struct keys *keys, const char *name);
int64_t keys_number(const struct keys *keys, const char *name, int64_t least, int64_t most);
int keys_choice(const struct keys *keys, const char *name, const char *const *words); /* its place in the list */

/* A whole number with k, m or g for powers of 1024. False if the text is none, or is 2^62 or more. */
bool parse_number(const char *text, int64_t *value);

/* Is the value of this key a word (pages=4k), whatever it looks like? */
bool key_is_word(const char *name);

/* Prints "keys": {...}. */
void keys_print(const struct keys *keys);

#endif
