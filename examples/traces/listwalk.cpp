// Walks a std::list<long>, with marker stores around what is to be simulated. Recorded as listwalk.lackey.xz.
//
//   listwalk [elements] [order]      order: shuffled (as built by sorting random keys) or inorder (as allocated)
//
// One walk warms up; WALKS walks are counted.
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>

namespace {

constexpr int WALKS = 2;

// numasim's markers: a store of 8 bytes at one of these offsets of a page at a fixed address
constexpr std::uintptr_t MARKERS = 0x0a0000000000;
enum Marker { COUNT_BEGINS = 0x0, COUNT_ENDS = 0x40, WARM_UP_BEGINS = 0x80 };

void map_markers() {
    void* page = mmap(reinterpret_cast<void*>(MARKERS), 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page != reinterpret_cast<void*>(MARKERS)) {
        std::perror("listwalk: the marker page");
        std::exit(1);
    }
}

void mark(Marker offset) { *reinterpret_cast<volatile std::uint64_t*>(MARKERS + offset) = 1; }

// Two loads an element: its value, and where the next one is. (The sum is handed on, lest the compiler walk only once.)
__attribute__((noinline)) long walk(const std::list<long>& list, long sum) {
    for (long value : list) sum += value;
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    const long elements = argc > 1 ? std::atol(argv[1]) : 20000;
    const bool shuffled = argc <= 2 || std::strcmp(argv[2], "inorder") != 0;

    std::list<long> list;
    std::uint64_t key = 1;
    for (long i = 0; i < elements; ++i) {
        key = key * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
        list.push_back(static_cast<long>(key >> 1));
    }
    if (shuffled) list.sort();  // relinks the nodes; none moves

    map_markers();
    mark(WARM_UP_BEGINS);
    long sum = walk(list, 0);
    mark(COUNT_BEGINS);
    for (int i = 0; i < WALKS; ++i) sum = walk(list, sum);
    mark(COUNT_ENDS);
    std::printf("%ld\n", sum);
}
