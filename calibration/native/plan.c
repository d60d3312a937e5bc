#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "experiments.h"
#include "output.h"
#include "sysfs.h"
#include "words.h"

enum { MAX_LINE = 8192 };

struct line {
    const struct experiment *experiment;
    int count;
    struct {
        char name[MAX_NAME], values[MAX_VALUE]; /* values: "4k,64k" */
        char chosen[MAX_VALUE];
    } key[MAX_KEYS];
    struct setting setting;
};

/* Runs already printed: words may mean the same on a small host. */
static struct {
    size_t count, room;
    char **text;
} printed;

static bool is_new(const char *text) {
    for (size_t i = 0; i < printed.count; i++) {
        if (strcmp(printed.text[i], text) == 0) {
            return false;
        }
    }
    if (printed.count == printed.room) {
        printed.room = 2 * printed.room + 64;
        printed.text = realloc(printed.text, printed.room * sizeof *printed.text);
        if (!printed.text) {
            broken("out of memory");
        }
    }
    printed.text[printed.count] = strdup(text);
    return printed.text[printed.count++] != NULL;
}

/* Prints what is chosen of the first `count` keys, and why it is left out, if it is. */
static void print_run(const struct line *line, int count, const char *why) {
    static char text[MAX_KEYS * (MAX_NAME + MAX_VALUE)];
    int length = sprintf(text, "%s %s", why ? "skip" : "run", line->experiment->name);
    for (int i = 0; i < count; i++) {
        length += sprintf(text + length, " %s=%s", line->key[i].name, line->key[i].chosen);
    }
    if (why) {
        sprintf(text + length, " # %s", why);
    }
    if (is_new(text)) {
        puts(text);
    }
}

static double number_of(const struct keys *keys, const char *name) {
    int64_t value = 0;
    const char *text = keys_find(keys, name);
    return text && parse_number(text, &value) ? (double)value : 0;
}

/* About what a run takes of the memory of its node: buffers, and 64 bytes an element of a structure. */
static double bytes_wanted(const struct line *line, const struct keys *keys) {
    static int cpus[MAX_CPUS];
    int threads = keys_find(keys, "cpus") ? list_parse(keys_text(keys, "cpus"), cpus, MAX_CPUS) : 1;
    bool shared_out = strcmp(line->experiment->name, "bandwidth") == 0;
    enum pages pages = keys_find(keys, "pages") ? (enum pages)keys_choice(keys, "pages", PAGES_WORDS) : PAGES_4K;
    return number_of(keys, "size") * (shared_out ? threads : 1.07) + number_of(keys, "buffer") * threads +
           number_of(keys, "count") * (double)page_bytes_of(pages) + number_of(keys, "length") * 64;
}

static void print_if_it_fits(const struct line *line) {
    static struct keys keys;
    memset(&keys, 0, sizeof keys);
    keys_declare(&keys, line->experiment->keys);
    for (int i = 0; i < line->count; i++) {
        char word[MAX_NAME + MAX_VALUE + 1];
        snprintf(word, sizeof word, "%s=%s", line->key[i].name, line->key[i].chosen);
        keys_set(&keys, word);
    }
    int node = keys_find(&keys, "node") ? (int)number_of(&keys, "node") : -1;
    bool fits = bytes_wanted(line, &keys) <= 0.7 * memory_free_bytes(node);
    print_run(line, line->count, fits ? NULL : "more than 70 % of the free memory");
}

/* All values of key number `turn` and those behind it. */
static void expand(struct line *line, int turn) {
    if (turn == line->count) {
        print_if_it_fits(line);
        return;
    }
    struct meanings *found = allocate(sizeof *found);
    for (const char *at = line->key[turn].values; *at;) {
        char word[MAX_VALUE];
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        at += length + (at[length] == ',');
        found->count = 0;
        found->why = NULL;
        words_resolve(found, &line->setting, line->key[turn].name, word);
        if (found->count == 0 && found->why) {
            snprintf(line->key[turn].chosen, MAX_VALUE, "%s", word);
            print_run(line, turn + 1, found->why);
        }
        for (int i = 0; i < found->count; i++) {
            snprintf(line->key[turn].chosen, MAX_VALUE, "%s", found->text[i]);
            if (strcmp(line->key[turn].name, "cpu") == 0) {
                line->setting.cpu = topology_place(line->setting.topology, atoi(found->text[i]));
            }
            expand(line, turn + 1);
            free(found->text[i]);
        }
    }
    free(found);
}

static const struct experiment *experiment_of(const char *name) {
    for (const struct experiment *at = EXPERIMENTS; at->name; at++) {
        if (strcmp(at->name, name) == 0) {
            return at;
        }
    }
    mistake("the plan names an unknown experiment, %.40s", name);
}

static void add_key(struct line *line, const char *name, const char *values) {
    if (line->count == MAX_KEYS) {
        mistake("a line of the plan has too many keys");
    }
    snprintf(line->key[line->count].name, MAX_NAME, "%s", name);
    snprintf(line->key[line->count].values, MAX_VALUE, "%s", values);
    line->count++;
}

/* The value of the word KEY=... among the words; NULL if there is none. */
static const char *given(char *const *words, const char *key) {
    size_t length = strlen(key);
    for (; *words; words++) {
        if (strncmp(*words, key, length) == 0 && (*words)[length] == '=') {
            return *words + length + 1;
        }
    }
    return NULL;
}

/* cpu first, as the meaning of other words depends on it; then node; then the others as they come. */
static void read_line(struct line *line, char *text) {
    char *words[MAX_KEYS + 1] = {0};
    int count = 0;
    line->count = 0;
    line->experiment = experiment_of(strtok(text, " \t\n"));
    for (char *word; (word = strtok(NULL, " \t\n"));) {
        if (count == MAX_KEYS || !strchr(word, '=')) {
            mistake("the plan has a line with %.100s, where KEY=VALUE,VALUE was expected", word);
        }
        words[count++] = word;
    }
    add_key(line, "cpu", given(words, "cpu") ? given(words, "cpu") : "first");
    if (strstr(line->experiment->keys, " node=")) {
        add_key(line, "node", given(words, "node") ? given(words, "node") : "local");
    }
    for (int i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        *equals = 0;
        if (strcmp(words[i], "cpu") != 0 && strcmp(words[i], "node") != 0) {
            add_key(line, words[i], equals + 1);
        }
    }
}

void plan_print(const char *name, int cpu) {
    static char text[MAX_LINE];
    static struct line line;
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    if (!file) {
        mistake("%.400s cannot be read", name);
    }
    struct topology *topology = topology_read(cpu);
    line.setting.topology = topology;
    line.setting.first = cpu < 0 ? &topology->place[0] : topology_place(topology, cpu);
    line.setting.bind = *sysfs_root || can_mbind();
    if (!line.setting.first) {
        mistake("cpu=%d: a CPU that this process may run on was expected", cpu);
    }
    while (fgets(text, sizeof text, file)) {
        text[strcspn(text, "#")] = 0;
        if (text[strspn(text, " \t\n")]) {
            read_line(&line, text);
            expand(&line, 0);
        }
    }
    if (file != stdin) {
        fclose(file);
    }
    for (size_t i = 0; i < printed.count; i++) {
        free(printed.text[i]);
    }
    free(printed.text);
    free(topology);
}
