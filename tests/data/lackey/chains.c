/* Four stretches whose chains of loads are known from the source, without a library, so that program and log are small.
 *
 *   cc -O2 -static -nostdlib -fno-stack-protector -fno-pie -no-pie -fno-asynchronous-unwind-tables -Wl,--build-id=none \
 *      -fno-builtin -o chains chains.c && strip chains
 *   valgrind --tool=lackey --trace-mem=yes --log-file=chains.lackey ./chains && xz -9e chains.lackey
 *
 * gcc 12.2, valgrind 3.19, x86-64. Stretch 0: a walk of a shuffled list. 1: a sum at random indices that are known
 * before. 2: look-ups in a table of chained buckets, each value the next key. 3: the same, the keys known before. */
typedef unsigned long u64;

#define PAGE 0x0a0000000000ul
enum { NODES = 1000, KEYS = 256, BUCKETS = 64, LOOKUPS = 400 };

static struct node { struct node *next; u64 key, value; } nodes[NODES], entries[KEYS], *buckets[BUCKETS];
static unsigned order[NODES];
static u64 table[NODES], out[4];

static void mark(u64 offset) { *(volatile u64 *)(PAGE + offset) = 1; }

static u64 call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    register u64 r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    u64 result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static u64 hash(u64 key) { return (key * 0x9e3779b97f4a7c15ul) >> 58; }

__attribute__((noinline)) static u64 walk(const struct node *node) {
    u64 n = 0;
    for (; node; node = node->next) n++;
    return n;
}

__attribute__((noinline)) static u64 sum(const unsigned *at, u64 n) {
    u64 total = 0;
    for (u64 i = 0; i < n; i++) total += table[at[i]];
    return total;
}

__attribute__((noinline)) static u64 find(u64 key) {
    const struct node *node = buckets[hash(key)];
    while (node->key != key) node = node->next;
    return node->value;
}

__attribute__((noinline)) static u64 dependent(u64 key) {
    for (int i = 0; i < LOOKUPS; i++) key = find(key);
    return key;
}

__attribute__((noinline)) static u64 independent(const unsigned *keys) {
    u64 total = 0;
    for (int i = 0; i < LOOKUPS; i++) total += find(keys[i] % KEYS);
    return total;
}

void _start(void) {
    call(9, PAGE, 4096, 3, 0x32, -1, 0); /* mmap, private anonymous fixed */
    u64 random = 1;
    for (unsigned i = 0; i < NODES; i++) order[i] = i, table[i] = i;
    for (unsigned i = NODES - 1; i > 0; i--) {
        random = random * 6364136223846793005ul + 1442695040888963407ul;
        unsigned j = (random >> 33) % (i + 1), kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
    for (unsigned i = 0; i < NODES; i++) nodes[order[i]].next = i + 1 < NODES ? &nodes[order[i + 1]] : 0;
    for (unsigned i = 0; i < KEYS; i++) {
        struct node *entry = &entries[i], **bucket = &buckets[hash(i)];
        entry->key = i, entry->value = (i * 37 + 11) % KEYS, entry->next = *bucket, *bucket = entry;
    }
    mark(0x00), mark(0x100), out[0] = walk(&nodes[order[0]]), mark(0x400);
    mark(0x108), out[1] = sum(order, NODES), mark(0x408);
    mark(0x110), out[2] = dependent(7), mark(0x410);
    mark(0x118), out[3] = independent(order), mark(0x418), mark(0x40);
    call(60, out[0] != NODES, 0, 0, 0, 0, 0); /* exit */
}
