#include "host.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "arena.h"
#include "output.h"
#include "sysfs.h"
#include "timer.h"
#include "topology.h"

enum { TEXT = 4096 };

/* What /proc/cpuinfo says of the first processor under this name, and "" where it says nothing. */
static void cpuinfo(char *text, const char *name) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[TEXT];
    text[0] = 0;
    while (file && !text[0] && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        size_t length = strlen(name);
        if (colon && strncmp(line, name, length) == 0 &&
            (line[length] == '\t' || line[length] == ' ' || line[length] == ':')) {
            colon += 1 + strspn(colon + 1, " \t");
            colon[strcspn(colon, "\n")] = 0;
            snprintf(text, TEXT, "%s", colon);
        }
    }
    if (file) {
        fclose(file);
    }
}

static bool has_flag(const char *name) {
    char flags[TEXT];
    size_t length = strlen(name);
    cpuinfo(flags, "flags");
    for (char *at = flags; (at = strstr(at, name)); at += length) {
        if ((at == flags || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0)) {
            return true;
        }
    }
    return false;
}

static void print_cpu(void) {
    static const char *const x86[] = {"vendor_id", "cpu family", "model", "stepping", NULL};
    static const char *const arm[] = {"CPU implementer", "CPU part", "CPU variant", "CPU revision", NULL};
    char text[TEXT], id[400] = "";
    cpuinfo(text, "CPU implementer");
    const char *const *parts = text[0] ? arm : x86;
    for (int i = 0; parts[i]; i++) {
        cpuinfo(text, parts[i]);
        snprintf(id + strlen(id), sizeof id - strlen(id), "%s%.80s", i ? "-" : "", text);
    }
    json_open("cpu", '{');
    cpuinfo(text, "model name");
    json_text("name", text);
    cpuinfo(text, parts[0]);
    json_text("vendor", text);
    json_text("id", id);
    cpuinfo(text, "microcode");
    json_text("microcode", text);
    json_close('}');
}

/* Lower-case words by which firmware of virtual machines is known, and what is told of them. */
static const char *const HYPERVISORS[][2] = {
    {"kvm", "kvm"},       {"qemu", "kvm"},    {"firecracker", "firecracker"}, {"amazon ec2", "amazon"},
    {"vmware", "vmware"}, {"xen", "xen"},     {"virtualbox", "virtualbox"},   {"google compute", "google"},
    {"openstack", "kvm"}, {"bochs", "bochs"}, {"virtual machine", "hyper-v"}, {"parallels", "parallels"},
};

/* How the hypervisor calls itself (leaf 0x40000000 of cpuid), such as KVMKVMKVM; "" without one. */
static void signature(char *text) {
    text[0] = 0;
#if defined(__x86_64__)
    unsigned eax, words[3];
    if (has_flag("hypervisor")) {
        __cpuid(0x40000000, eax, words[0], words[1], words[2]);
        memcpy(text, words, sizeof words);
        text[sizeof words] = 0;
    }
#endif
}

static void print_virtual(void) {
    static const char *const files[] = {"/sys/hypervisor/type", "/sys/class/dmi/id/sys_vendor",
                                        "/sys/class/dmi/id/product_name"};
    char text[TEXT], lower[TEXT], by[TEXT] = "", evidence[5][TEXT];
    int found = 0;
    if (has_flag("hypervisor")) {
        signature(text);
        snprintf(evidence[found++], TEXT, "cpu flag hypervisor, %.12s", text);
        snprintf(by, sizeof by, "%s",
                 strstr(text, "KVM")         ? "kvm"
                 : strstr(text, "Microsoft") ? "hyper-v"
                 : strstr(text, "VMware")    ? "vmware"
                 : strstr(text, "Xen")       ? "xen"
                                             : "");
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sysfs_text(text, sizeof text, "%s", files[i]);
        for (size_t j = 0; j <= strlen(text); j++) {
            lower[j] = (char)tolower((unsigned char)text[j]);
        }
        for (size_t j = 0; j < sizeof HYPERVISORS / sizeof *HYPERVISORS; j++) {
            if (strstr(lower, HYPERVISORS[j][0]) && !strstr(lower, ".metal")) {
                snprintf(evidence[found++], TEXT, "%.60s: %.400s", files[i], text);
                snprintf(by, sizeof by, "%s", HYPERVISORS[j][1]);
                break;
            }
        }
    }
    sysfs_text(text, sizeof text, "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if (strstr(text, "kvm") || strstr(text, "hyperv") || strstr(text, "xen")) {
        snprintf(evidence[found++], TEXT, "clock source %.200s", text);
        if (!by[0]) {
            snprintf(by, sizeof by, "%s", strstr(text, "kvm") ? "kvm" : strstr(text, "xen") ? "xen" : "hyper-v");
        }
    }
    json_open("virtual", '{');
    json_bool("is", found > 0);
    json_text("by", by);
    json_open("evidence", '[');
    for (int i = 0; i < found; i++) {
        json_text(NULL, evidence[i]);
    }
    json_close(']');
    json_close('}');
}

static void print_timer(void) {
    char text[TEXT];
    json_open("timer", '{');
    json_text("counter", TIMER_COUNTER);
    json_number("hz", ticks_per_s());
    json_bool("invariant", strcmp(TIMER_COUNTER, "tsc") != 0 || (has_flag("constant_tsc") && has_flag("nonstop_tsc")));
    sysfs_text(text, sizeof text, "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    json_text("clocksource", text);
    json_close('}');
}

static void print_cpus(const struct topology *topology) {
    json_open("allowed", '[');
    for (int i = 0; i < topology->places; i++) {
        json_number(NULL, topology->place[i].cpu);
    }
    json_close(']');
    json_open("cpus", '[');
    for (int i = 0; i < topology->places; i++) {
        json_open(NULL, '{');
        json_number("cpu", topology->place[i].cpu);
        json_number("node", topology->place[i].node);
        json_number("package", topology->place[i].package);
        json_number("core", topology->place[i].core);
        json_close('}');
    }
    json_close(']');
    json_open("caches", '[');
    for (int i = 0; i < topology->caches; i++) {
        const struct cache *cache = &topology->cache[i];
        json_open(NULL, '{');
        json_number("level", cache->level);
        json_text("kind", cache->kind);
        json_number("size_bytes", cache->size_bytes);
        json_number("line_bytes", cache->line_bytes);
        json_number("ways", cache->ways);
        json_number("sets", cache->sets);
        json_text("cpus", cache->cpus);
        json_close('}');
    }
    json_close(']');
}

static void print_nodes(const struct topology *topology) {
    char text[TEXT];
    json_open("nodes", '[');
    for (int i = 0; i < topology->nodes; i++) {
        int node = topology->node[i];
        json_open(NULL, '{');
        json_number("node", node);
        sysfs_text(text, sizeof text, "/sys/devices/system/node/node%d/cpulist", node);
        json_text("cpus", text);
        double kib = sysfs_entry(0, "MemTotal:", "/sys/devices/system/node/node%d/meminfo", node);
        json_number("memory_bytes", 1024 * (kib > 0 ? kib : sysfs_entry(0, "MemTotal:", "/proc/meminfo")));
        json_number("free_bytes", memory_free_bytes(kib > 0 ? node : -1));
        json_open("distances", '[');
        sysfs_text(text, sizeof text, "/sys/devices/system/node/node%d/distance", node);
        int distance, used;
        for (char *at = text; sscanf(at, "%d%n", &distance, &used) == 1; at += used) {
            json_number(NULL, distance);
        }
        json_close(']');
        json_close('}');
    }
    json_close(']');
}

static void print_pages(void) {
    static const size_t sizes[] = {(size_t)64 << 10, (size_t)2 << 20, (size_t)32 << 20, (size_t)512 << 20,
                                   (size_t)1 << 30};
    json_number("page_bytes", (double)sysconf(_SC_PAGESIZE));
    json_open("huge_pages", '[');
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double reserved = sysfs_number(-1, "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages", sizes[i] / 1024);
        if (reserved >= 0) {
            json_open(NULL, '{');
            json_number("bytes", (double)sizes[i]);
            json_number("reserved", reserved);
            json_number("free", pool_free_pages(sizes[i], -1));
            json_close('}');
        }
    }
    json_close(']');
}

static void print_settings(void) {
    static const char *const files[][2] = {
        {"transparent_hugepage/enabled", "/sys/kernel/mm/transparent_hugepage/enabled"},
        {"transparent_hugepage/defrag", "/sys/kernel/mm/transparent_hugepage/defrag"},
        {"scaling_governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"},
        {"scaling_driver", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"},
        {"boost", "/sys/devices/system/cpu/cpufreq/boost"},
        {"no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo"},
        {"smt/active", "/sys/devices/system/cpu/smt/active"},
        {"numa_balancing", "/proc/sys/kernel/numa_balancing"},
        {"isolated", "/sys/devices/system/cpu/isolated"},
        {"nohz_full", "/sys/devices/system/cpu/nohz_full"},
        {"perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid"},
    };
    char text[TEXT];
    json_open("settings", '{');
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sysfs_text(text, sizeof text, "%s", files[i][1]);
        json_text(files[i][0], text);
    }
    json_close('}');
    json_open("can", '{');
    json_bool("mbind", can_mbind());
    json_bool("move_pages", can_move_pages());
    json_bool("counters", access("/sys/bus/event_source/devices/cpu", F_OK) == 0 ||
                              access("/sys/bus/event_source/devices/armv8_pmuv3_0", F_OK) == 0);
    json_close('}');
}

static void print_stat(void) {
    FILE *file = fopen("/proc/stat", "r");
    char line[TEXT];
    json_open("stat", '{');
    json_number("ticks_per_s", (double)sysconf(_SC_CLK_TCK));
    json_open("cpus", '[');
    while (file && fgets(line, sizeof line, file)) {
        int cpu;
        double user, nice, system, idle, wait, irq, soft, stolen;
        if (isdigit((unsigned char)line[3]) &&
            sscanf(line, "cpu%d %lf %lf %lf %lf %lf %lf %lf %lf", &cpu, &user, &nice, &system, &idle, &wait, &irq,
                   &soft, &stolen) == 9) { /* the line of all CPUs together has no number */
            json_open(NULL, '{');
            json_number("cpu", cpu);
            json_number("busy", user + nice + system + irq + soft);
            json_number("idle", idle + wait);
            json_number("stolen", stolen);
            json_close('}');
        }
    }
    if (file) {
        fclose(file);
    }
    json_close(']');
    json_close('}');
}

void host_print(void) {
    struct topology *topology = topology_read(-1);
    struct utsname name;
    char text[TEXT];
    uname(&name);
    json_open(NULL, '{');
    snprintf(text, sizeof text, "%s %s %s", name.sysname, name.release, name.machine);
    json_text("kernel", text);
    json_text("architecture", name.machine);
    print_cpu();
    print_virtual();
    print_timer();
    print_cpus(topology);
    print_nodes(topology);
    print_pages();
    print_settings();
    json_number("load_1m", sysfs_number(0, "/proc/loadavg"));
    json_number("unix_s", (double)time(NULL));
    json_number("monotonic_s", monotonic_s());
    print_stat();
    json_close('}');
    json_end();
    free(topology);
}
