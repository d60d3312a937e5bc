#include "keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

static const char *const WORD_KEYS[] = {"pages", "within", "order", "state", "ratio", "allocator", "cpus", "dependent"};

bool key_is_word(const char *name) {
    for (size_t i = 0; i < sizeof WORD_KEYS / sizeof *WORD_KEYS; i++) {
        if (strcmp(name, WORD_KEYS[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool parse_number(const char *text, int64_t *value) {
    char *end;
    if (!isdigit((unsigned char)*text) && !(*text == '-' && isdigit((unsigned char)text[1]))) {
        return false;
    }
    double number = strtod(text, &end);
    const char *unit = *end ? strchr("kmg", tolower((unsigned char)*end)) : "";
    if (unit && *unit) {
        number *= *unit == 'k' ? 1024.0 : *unit == 'm' ? 1048576.0 : 1073741824.0;
        end++;
    }
    if (*end || !(number > -4.6e18 && number < 4.6e18) || number != (double)(int64_t)number) {
        return false;
    }
    *value = (int64_t)number;
    return true;
}

static int place_of(const struct keys *keys, const char *name, size_t length) {
    for (int i = 0; i < keys->count; i++) {
        if (strlen(keys->names[i]) == length && memcmp(keys->names[i], name, length) == 0) {
            return i;
        }
    }
    return -1;
}

void keys_declare(struct keys *keys, const char *defaults) {
    while (*defaults) {
        size_t name = strcspn(defaults, "="), whole = strcspn(defaults, " ");
        int place = place_of(keys, defaults, name);
        if (place < 0) {
            place = keys->count++;
        }
        snprintf(keys->names[place], MAX_NAME, "%.*s", (int)name, defaults);
        snprintf(keys->values[place], MAX_VALUE, "%.*s", (int)(whole - name - 1), defaults + name + 1);
        defaults += whole;
        defaults += strspn(defaults, " ");
    }
}

void keys_set(struct keys *keys, const char *word) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) {
        mistake("%.200s is no KEY=VALUE", word);
    }
    int place = place_of(keys, word, (size_t)(equals - word));
    if (place < 0) {
        mistake("unknown key %.*s", (int)(equals - word > 40 ? 40 : equals - word), word);
    }
    if (strlen(equals + 1) >= MAX_VALUE) {
        mistake("the value of %s is too long", keys->names[place]);
    }
    snprintf(keys->values[place], MAX_VALUE, "%s", equals + 1);
}

const char *keys_find(const struct keys *keys, const char *name) {
    int place = place_of(keys, name, strlen(name));
    return place < 0 ? NULL : keys->values[place];
}

const char *keys_text(const struct keys *keys, const char *name) {
    const char *value = keys_find(keys, name);
    if (!value) {
        broken("an experiment reads a key %s that it does not declare", name);
    }
    return value;
}

int64_t keys_number(const struct keys *keys, const char *name, int64_t least, int64_t most) {
    int64_t value;
    if (!parse_number(keys_text(keys, name), &value) || value < least || value > most) {
        mistake("%s=%.100s: a whole number from %lld to %lld was expected", name, keys_text(keys, name),
                (long long)least, (long long)most);
    }
    return value;
}

int keys_choice(const struct keys *keys, const char *name, const char *const *words) {
    const char *value = keys_text(keys, name);
    char all[200] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            return i;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", words[i]);
    }
    mistake("%s=%.100s: one of %s was expected", name, value, all);
}

void keys_print(const struct keys *keys) {
    json_open("keys", '{');
    for (int i = 0; i < keys->count; i++) {
        int64_t value;
        if (!key_is_word(keys->names[i]) && parse_number(keys->values[i], &value)) {
            json_number(keys->names[i], (double)value);
        } else {
            json_text(keys->names[i], keys->values[i]);
        }
    }
    json_close('}');
}
