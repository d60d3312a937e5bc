// Two threads, each with a list of its own, and a counter they share.
//
//   threads ELEMENTS WALKS
//
// Each walks its list; every eighth element it adds to the counter. The first walk warms up.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <thread>

#include "numasim_markers.h"

static std::atomic<long> counter{0};

__attribute__((noinline)) static void walk(const std::list<long> &list) {
    for (long value : list)
        if (value % 8 == 0) counter.fetch_add(1);
}

static void both(const std::list<long> &one, const std::list<long> &other, long walks) {
    auto all = [walks](const std::list<long> *list) {
        for (long i = 0; i < walks; i++) walk(*list);
    };
    std::thread first(all, &one), second(all, &other);
    first.join();
    second.join();
}

int main(int count, char **words) {
    if (count != 3) return std::fprintf(stderr, "threads ELEMENTS WALKS\n"), 2;
    std::list<long> one, other;
    for (long i = 0; i < std::atol(words[1]); i++) one.push_back(i), other.push_back(i);
    numasim_count();
    both(one, other, std::atol(words[2]));
    numasim_end();
    std::printf("counter %ld\n", counter.load());
}
