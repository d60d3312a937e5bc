/* numasim-native: measures the memory of this host, one experiment a call. README.md says what it prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments.h"
#include "host.h"
#include "output.h"
#include "plan.h"
#include "sysfs.h"
#include "threads.h"

static void print_help(void) {
    puts("numasim-native help | host | plan FILE [cpu=N] | EXPERIMENT key=value ...\n");
    for (const struct experiment *at = EXPERIMENTS; at->name; at++) {
        printf("%-14s %s\n%-14s   %s\n", at->name, at->help, "", at->keys);
    }
}

/* plan FILE [cpu=N] [root=DIR] */
static void make_plan(int count, char **words) {
    static struct keys keys;
    if (count < 1) {
        mistake("plan: a file was expected");
    }
    keys_declare(&keys, "cpu=-1 root=");
    for (int i = 1; i < count; i++) {
        keys_set(&keys, words[i]);
    }
    sysfs_root = keys_text(&keys, "root");
    plan_print(words[0], (int)keys_number(&keys, "cpu", -1, MAX_CPUS - 1));
}

static void measure(const char *name, int count, char **words) {
    const struct experiment *at = EXPERIMENTS;
    while (at->name && strcmp(at->name, name) != 0) {
        at++;
    }
    if (!at->name) {
        mistake("unknown experiment %.40s; numasim-native help names them", name);
    }
    struct run *run = allocate(sizeof *run);
    run->name = at->name;
    keys_declare(&run->keys, at->keys);
    for (int i = 0; i < count; i++) {
        keys_set(&run->keys, words[i]);
    }
    run_begin(run);
    at->measure(run);
    run_end(run);
    free(run);
}

int main(int count, char **words) {
    const char *what = count < 2 ? "help" : words[1];
    if (strcmp(what, "help") == 0 || strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        print_help();
    } else if (strcmp(what, "host") == 0) {
        host_print();
    } else if (strcmp(what, "plan") == 0) {
        make_plan(count - 2, words + 2);
    } else {
        measure(what, count - 2, words + 2);
    }
    return 0;
}
