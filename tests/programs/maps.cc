// Look-ups in the standard library's maps.
//
//   maps unordered|tree dependent|random|repeating ELEMENTS LOOKUPS
//
// dependent: the value found is the next key, through all keys in random order.  random: keys in random order, known
// before.  repeating: the first eight of those, over and over.  The first half of the look-ups warms up.
// Prints the time of a counted look-up, and how many nodes of its bucket each passes on average before its own.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "numasim_markers.h"

using Unordered = std::unordered_map<long, long>;
using Tree = std::map<long, long>;

template <class Map>
__attribute__((noinline)) long dependent(const Map &map, long key, long lookups) {
    for (; lookups > 0; lookups--) key = map.find(key)->second;
    return key;
}

template <class Map>
__attribute__((noinline)) long independent(const Map &map, const std::vector<long> &keys, long lookups) {
    long sum = 0;
    for (long i = 0; i < lookups; i++) sum += map.find(keys[i])->second;
    return sum;
}

static double passed(const Tree &, const std::vector<long> &) { return 0; }

static double passed(const Unordered &map, const std::vector<long> &keys) {
    long nodes = 0;
    for (long key : keys)
        for (auto at = map.begin(map.bucket(key)); at->first != key; ++at) nodes++;
    return double(nodes) / double(keys.size());
}

static double used_ns() {  // processor time: others' use of the machine counts less
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e9 * double(t.tv_sec) + double(t.tv_nsec);
}

template <class Map>
static void run(const std::string &order, long elements, long lookups) {
    std::mt19937_64 random(1);
    std::vector<long> keys(elements);
    for (long &key : keys) key = long(random() >> 1);
    std::shuffle(keys.begin(), keys.end(), random);
    Map map;
    for (long i = 0; i < elements; i++) map[keys[i]] = keys[(i + 1) % elements];
    std::vector<long> asked(lookups / 2);
    for (long i = 0; i < lookups / 2; i++)
        asked[i] = keys[order == "repeating" ? i % 8 : order == "random" ? long(random() % elements) : i % elements];
    auto all = [&] {
        return order == "dependent" ? dependent(map, keys[0], lookups / 2) : independent(map, asked, lookups / 2);
    };
    numasim_warm_up();
    long sum = all();
    double start = used_ns();
    numasim_count();
    sum += all();
    numasim_end();
    double ns = (used_ns() - start) / double(lookups / 2);
    std::printf("ns %.2f passed %.6f check %ld\n", ns, passed(map, asked), sum);
}

int main(int count, char **words) {
    if (count != 5) return std::fprintf(stderr, "maps unordered|tree dependent|random|repeating ELEMENTS LOOKUPS\n"), 2;
    (std::string(words[1]) == "tree" ? run<Tree> : run<Unordered>)(words[2], std::atol(words[3]), std::atol(words[4]));
}
