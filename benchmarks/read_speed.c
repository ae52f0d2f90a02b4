/* Reads so many MiB with so many threads, each its own part, so many times; prints bytes a second of each time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef uint64_t vector __attribute__((vector_size(64)));

enum { AT_ONCE = 4, MOST_THREADS = 1024 };

static vector *numbers;
static size_t count_each;
static volatile vector sums[MOST_THREADS];

static void *read_part(void *argument) {
    const size_t thread = (size_t)argument;
    const vector *part = numbers + thread * count_each;
    vector first = {0}, second = {0}, third = {0}, fourth = {0};
    for (size_t i = 0; i < count_each; i += AT_ONCE) {
        first ^= part[i];
        second ^= part[i + 1];
        third ^= part[i + 2];
        fourth ^= part[i + 3];
    }
    sums[thread] = first ^ second ^ third ^ fourth;
    return NULL;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const size_t bytes = (size_t)atol(argv[1]) << 20, threads = (size_t)atol(argv[2]);
    if (threads < 1 || threads > MOST_THREADS) return 2;
    count_each = bytes / sizeof(vector) / threads / AT_ONCE * AT_ONCE;
    numbers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (numbers == MAP_FAILED) return 1;
    madvise(numbers, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < threads * count_each; i++) numbers[i] = (vector){i};
    pthread_t started[MOST_THREADS];
    for (long times = atol(argv[3]); times > 0; times--) {
        const double began = now();
        for (size_t i = 0; i < threads; i++) pthread_create(&started[i], NULL, read_part, (void *)i);
        for (size_t i = 0; i < threads; i++) pthread_join(started[i], NULL);
        printf("%.0f\n", (double)(threads * count_each * sizeof(vector)) / (now() - began));
    }
    return 0;
}
