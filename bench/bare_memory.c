/* bare_memory.c: the speed of the host's memory: the C library's functions, and populating. */
#define _GNU_SOURCE /* memmem, memfd_create */
#include "bare.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

enum { BULK = 64 << 20 };

static double gib_per_s(uint64_t bytes, uint64_t ns)
{
    return (double)bytes / (double)GIB / ((double)ns / 1e9);
}

static void measure_bulk(int rounds)
{
    uint8_t *from = bare_map(BULK), *to = bare_map(BULK);
    uint64_t start;

    memset(from, 'x', BULK);
    memset(to, 'y', BULK);
    for (int i = 0; i < rounds; i++) {
        start = now_ns();
        memcpy(to, from, BULK);
        report("copy", gib_per_s(BULK, now_ns() - start));
        start = now_ns();
        memset(to, i, BULK);
        report("fill", gib_per_s(BULK, now_ns() - start));
        start = now_ns();
        from[0] = (uint8_t)XXH64(from, BULK, 0); /* so that it has to be computed */
        report("hash", gib_per_s(BULK, now_ns() - start));
        from[0] = 'x';
        start = now_ns();
        if (memmem(from, BULK, "needle in it", 12))
            exit(1);
        report("search", gib_per_s(BULK, now_ns() - start));
    }
}

struct share {
    uint8_t *host;
    uint64_t size;
};

static void *populate(void *arg)
{
    struct share *s = arg;

    if (madvise(s->host, s->size, MADV_POPULATE_WRITE))
        die("MADV_POPULATE_WRITE");
    return NULL;
}

/* Maps and populates a file, or fd -1: anonymous memory in huge pages; returns the rate. */
static double map_and_populate(int fd, uint64_t size, unsigned threads)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    pthread_t thread[2];
    struct share share[2];
    uint64_t start = now_ns(), end;
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (host == MAP_FAILED)
        die("mmap");
    madvise(host, size, MADV_HUGEPAGE);
    for (unsigned i = 0; i < threads; i++) {
        share[i] = (struct share){host + size / threads * i, size / threads};
        pthread_create(&thread[i], NULL, populate, &share[i]);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    end = now_ns();
    munmap(host, size);
    if (fd >= 0)
        close(fd);
    return gib_per_s(size, end - start);
}

static int sized(int fd, uint64_t size)
{
    if (fd < 0 || ftruncate(fd, (off_t)size))
        die("memory file");
    return fd;
}

static int open_memfd(uint64_t size)
{
    return sized(memfd_create("bench", MFD_CLOEXEC), size);
}

static int open_file(uint64_t size)
{
    return sized(open("/dev/shm", O_TMPFILE | O_RDWR, 0600), size);
}

static void measure_populate(const char *kind, uint64_t size, unsigned threads)
{
    int fd = strcmp(kind, "memfd") == 0  ? open_memfd(size)
             : strcmp(kind, "file") == 0 ? open_file(size)
                                         : -1;

    printf("rate %.6g\n", map_and_populate(fd, size, threads));
}

int main(int argc, char **argv)
{
    if (strcmp(argv[1], "bulk") == 0)
        measure_bulk(atoi(argv[2]));
    else /* populate KIND MIB THREADS */
        measure_populate(argv[2], (uint64_t)atoi(argv[3]) << 20, (unsigned)atoi(argv[4]));
    return 0;
}
