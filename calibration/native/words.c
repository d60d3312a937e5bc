#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "sysfs.h"

static void add(struct meanings *found, const char *text) {
    if (found->count == MOST_MEANINGS) {
        broken("a word of the plan has too many meanings");
    }
    found->text[found->count] = strdup(text);
    if (!found->text[found->count++]) {
        broken("out of memory");
    }
}

static void add_number(struct meanings *found, int number) {
    char text[20];
    snprintf(text, sizeof text, "%d", number);
    add(found, text);
}

static void resolve_cpu(struct meanings *found, const struct setting *setting, const char *word) {
    const struct topology *topology = setting->topology;
    int64_t number;
    if (parse_number(word, &number)) {
        if (topology_place(topology, (int)number)) {
            add(found, word);
        }
        found->why = "this process may not run on that CPU, or there is none";
    } else if (strcmp(word, "first") == 0) {
        add_number(found, setting->first->cpu);
    } else if (strcmp(word, "each-node") == 0) {
        int last = -1;
        for (int node = 0; node < MAX_NODES_HERE; node++) {
            for (int i = 0; i < topology->places && last < node; i++) {
                if (topology->place[i].node == node) {
                    last = node;
                    add_number(found, node == setting->first->node ? setting->first->cpu : topology->place[i].cpu);
                }
            }
        }
    } else if (strcmp(word, "each") == 0) {
        for (int i = 0; i < topology->places; i++) {
            if (topology->place[i].first) {
                add_number(found, topology->place[i].cpu);
            }
        }
    } else {
        mistake("cpu=%.40s: a number, first, each-node or each was expected", word);
    }
}

static void resolve_node(struct meanings *found, const struct setting *setting, const char *key, const char *word) {
    const struct topology *topology = setting->topology;
    int64_t number;
    bool local = strcmp(word, "local") == 0, each = strcmp(word, "each") == 0;
    if (parse_number(word, &number)) {
        add(found, word);
        return;
    }
    if (!local && !each && strcmp(word, "remote") != 0) {
        mistake("%s=%.40s: a number, local, remote or each was expected", key, word);
    }
    for (int i = 0; i < topology->nodes; i++) {
        bool here = topology->node[i] == setting->cpu->node;
        if (each || here == local) {
            if (setting->bind) {
                add_number(found, topology->node[i]);
            } else if (here) {
                add(found, "-1"); /* first touch puts it there */
            }
        }
    }
    found->why = topology->nodes < 2 ? "there is no second node"
                 : setting->bind     ? "the node of the CPU has no memory"
                                     : "mbind is not allowed here";
}

/* First hardware threads of the CPU's node, the CPU itself before all others, or left out. */
static int threads_of(const struct setting *setting, bool without, int *cpus) {
    int count = 0;
    if (!without) {
        cpus[count++] = setting->cpu->cpu;
    }
    for (int i = 0; i < setting->topology->places; i++) {
        const struct place *place = &setting->topology->place[i];
        bool same_core = place->package == setting->cpu->package && place->core == setting->cpu->core;
        if (place->node == setting->cpu->node && place->first && !same_core) {
            cpus[count++] = place->cpu;
        }
    }
    return count;
}

static int compare(const void *one, const void *other) {
    return *(const int *)one - *(const int *)other;
}

static void resolve_cpus(struct meanings *found, const struct setting *setting, const char *word) {
    static int cpus[MAX_CPUS];
    char text[MAX_VALUE];
    const char *rest = strstr(word, "rest");
    bool without = rest && rest[4] == 0 && (rest == word || rest[-1] == '-');
    int length = (int)strlen(word) - (!without ? 0 : rest == word ? 4 : 5), have = threads_of(setting, without, cpus);
    int64_t wanted;
    char amount[20];
    snprintf(amount, sizeof amount, "%.*s", length, word);
    if (amount[0] == 0 || strcmp(amount, "all") == 0) {
        wanted = have;
    } else if (strcmp(amount, "half") == 0) {
        wanted = (have + 1) / 2;
    } else if (strcmp(amount, "one") == 0) {
        wanted = 1;
    } else if (!parse_number(amount, &wanted) || wanted < 1) {
        mistake("cpus=%.40s: a number, one, half or all, alone or with -rest behind it, or rest was expected", word);
    }
    found->why = "the node has too few CPUs";
    if (wanted <= have && have > 0) {
        qsort(cpus, (size_t)wanted, sizeof *cpus, compare);
        list_print(text, sizeof text, cpus, (int)wanted);
        add(found, text);
    }
}

static const char *const KINDS[] = {"sibling", "same-l3", "same-node", "same-package", "other-package", NULL};

/* How near the other CPU is to this one: a number of KINDS. */
static int kind_of(const struct place *one, const struct place *other) {
    bool same = one->package == other->package;
    return same && one->core == other->core       ? 0
           : one->l3 >= 0 && one->l3 == other->l3 ? 1
           : one->node == other->node             ? 2
           : same                                 ? 3
                                                  : 4;
}

static void resolve_other(struct meanings *found, const struct setting *setting, const char *word) {
    const struct topology *topology = setting->topology;
    bool all = strcmp(word, "all") == 0, above = strcmp(word, "above") == 0, each = strcmp(word, "each-kind") == 0;
    bool known = all || above || each, have[5] = {false};
    int64_t number = -1;
    for (int kind = 0; KINDS[kind]; kind++) {
        known = known || strcmp(word, KINDS[kind]) == 0;
    }
    if (parse_number(word, &number)) {
        add(found, word);
        return;
    }
    if (!known) {
        mistake(
            "other=%.40s: a number, sibling, same-l3, same-node, same-package, other-package, each-kind, above or all "
            "was expected",
            word);
    }
    for (int i = 0; i < topology->places; i++) {
        const struct place *place = &topology->place[i];
        int kind = kind_of(setting->cpu, place);
        if (place->cpu == setting->cpu->cpu || (kind && !place->first)) {
            continue;
        }
        if ((all && kind) || (above && kind && place->cpu > setting->cpu->cpu)) {
            add_number(found, place->cpu);
        } else if (!all && !above && !have[kind] && (each || strcmp(word, KINDS[kind]) == 0)) {
            have[kind] = true;
            add_number(found, place->cpu);
        }
    }
    found->why = above ? NULL : "there is no such other CPU";
}

static void resolve_size(struct meanings *found, const struct setting *setting, const char *key, const char *word) {
    double times;
    int level;
    char end, text[40];
    int64_t number;
    if (sscanf(word, "%lf*l%d%c", &times, &level, &end) == 2 && times > 0) {
        double bytes = topology_cache_bytes(setting->topology, level) * times;
        found->why = "the size of that cache is not known here";
        if (bytes > 0 && bytes < 1e15) {
            long pages = (long)(bytes / 4096 + 0.5);
            snprintf(text, sizeof text, "%ld", 4096 * (pages < 1 ? 1 : pages));
            add(found, text);
        }
    } else if (parse_number(word, &number)) {
        add(found, word);
    } else {
        mistake("%s=%.40s: a number, or a multiple of a cache such as 2*l3, was expected", key, word);
    }
}

void words_resolve(struct meanings *found, const struct setting *setting, const char *key, const char *word) {
    if (strcmp(key, "cpu") == 0) {
        resolve_cpu(found, setting, word);
    } else if (strcmp(key, "node") == 0 || strcmp(key, "from") == 0 || strcmp(key, "to") == 0) {
        resolve_node(found, setting, key, word);
    } else if (strcmp(key, "cpus") == 0) {
        resolve_cpus(found, setting, word);
    } else if (strcmp(key, "other") == 0) {
        resolve_other(found, setting, word);
    } else if (key_is_word(key)) {
        add(found, word);
    } else {
        resolve_size(found, setting, key, word);
    }
}
