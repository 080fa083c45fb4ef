/* test_ram.c: host mappings: alignment, sharing, life time, preallocation and its failures. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ram/ram.h"
#include "check.h"

#define MIB (UINT64_C(1) << 20)

static lunik_error err;

static int make(lunik_ram **out, lunik_ram_config config)
{
    config.name = "r";
    err = (lunik_error){0};
    return lunik_ram_new(&config, out, &err);
}

static void refuses(const char *name, lunik_ram_config config, int code, const char *why)
{
    lunik_ram *ram = NULL;

    check_int(name, make(&ram, config), code);
    check_contains("  says why", err.message, why);
    if (ram)
        lunik_ram_unref(ram);
}

static int file_of(uint64_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size))
        abort();
    return fd;
}

static bool mapped(const void *host)
{
    unsigned char present;
    return mincore((void *)host, 4096, &present) == 0;
}

static void test_refuses(void)
{
    int fd = file_of(MIB);

    refuses("no bytes", (lunik_ram_config){.fd = -1}, LUNIK_E_INVALID,
            "r: size: 0 is out of range (want at least 1)");
    refuses("part of a page", (lunik_ram_config){.fd = -1, .size = 4097}, LUNIK_E_INVALID,
            "r: size: 4097 is not a multiple of the page size 4096");
    refuses("an impossible page", (lunik_ram_config){.fd = -1, .size = MIB, .page_size = 12288},
            LUNIK_E_INVALID, "page size: 12288");
    refuses("an impossible alignment", (lunik_ram_config){.fd = -1, .size = MIB, .align = 12288},
            LUNIK_E_INVALID, "align: 12288 is not a power of two");
    refuses("2^63", (lunik_ram_config){.fd = -1, .size = UINT64_C(1) << 63}, LUNIK_E_NO_MEMORY,
            "size: 9223372036854775808 bytes are more than the host can map");
    refuses("2^64 - 4096", (lunik_ram_config){.fd = -1, .size = UINT64_MAX - 4095},
            LUNIK_E_NO_MEMORY, "more than the host can map");
    refuses("beyond the file", (lunik_ram_config){.fd = fd, .size = 2 * MIB, .share = true},
            LUNIK_E_INVALID, "the file has 1048576 bytes (want at least 2097152)");
    refuses("beyond the file by its offset",
            (lunik_ram_config){.fd = fd, .size = MIB, .fd_offset = 4096, .share = true},
            LUNIK_E_INVALID, "the file has 1048576 bytes (want at least 1052672)");
    refuses("an offset that overflows",
            (lunik_ram_config){.fd = fd, .size = MIB, .fd_offset = UINT64_MAX - 4095},
            LUNIK_E_INVALID, "offset: 18446744073709547520 is out of range");
    refuses("a closed file", (lunik_ram_config){.fd = 9999, .size = MIB}, LUNIK_E_IO,
            "bad file descriptor");
    close(fd);
}

static void test_anonymous(void)
{
    lunik_ram *ram;
    char *host;

    if (!check_int("anonymous", make(&ram, (lunik_ram_config){.fd = -1, .size = 3 * MIB}), 0))
        return;
    host = lunik_ram_host(ram);
    check_uint("aligned to 2 MiB", (uintptr_t)host % (2 * MIB), 0);
    check_uint("and so should be its guest address", lunik_ram_align(ram), 2 * MIB);
    check_uint("its pages are the host's", lunik_ram_page_size(ram), 4096);
    host[0] = host[3 * MIB - 1] = 1;
    check_int("it has no file", lunik_ram_fd(ram), -1);
    lunik_ram_ref(ram);
    lunik_ram_unref(ram);
    rcu_drain();
    check_true("a reference keeps it", mapped(host));
    lunik_ram_unref(ram);
    rcu_drain();
    check_true("the last one unmaps it", !mapped(host));
    check_int("1 GiB alignment",
              make(&ram, (lunik_ram_config){.fd = -1, .size = MIB, .align = 1024 * MIB}), 0);
    check_uint("  is kept", (uintptr_t)lunik_ram_host(ram) % (1024 * MIB), 0);
    lunik_ram_unref(ram);
}

static void test_file(void)
{
    int fd = file_of(2 * MIB);
    lunik_ram *shared, *private, *readonly;
    char byte = 'x';

    make(&shared, (lunik_ram_config){.fd = fd, .size = MIB, .fd_offset = MIB, .share = true});
    make(&private, (lunik_ram_config){.fd = fd, .size = MIB, .fd_offset = MIB});
    make(&readonly, (lunik_ram_config){.fd = fd, .size = 2 * MIB, .readonly = true});
    close(fd);
    *(char *)lunik_ram_host(shared) = 's';
    pread(lunik_ram_fd(shared), &byte, 1, MIB);
    check_int("a shared mapping writes to the file at its offset", byte, 's');
    *(char *)lunik_ram_host(private) = 'p';
    pread(lunik_ram_fd(shared), &byte, 1, MIB);
    check_int("a private one does not", byte, 's');
    check_int("a read-only one reads", ((char *)lunik_ram_host(readonly))[MIB], 's');
    check_uint("alignment of a file's memory: its page", lunik_ram_align(shared), 4096);
    check_int("preallocating read-only memory",
              lunik_ram_prealloc(readonly, 2, NULL, NULL, NULL, &err), 0);
    lunik_ram_unref(shared);
    lunik_ram_unref(private);
    lunik_ram_unref(readonly);
}

static void test_borrowed(void)
{
    void *host = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    lunik_ram *ram;

    make(&ram, (lunik_ram_config){.fd = -1, .size = MIB, .host = host});
    check_true("a mapping of the caller's", lunik_ram_host(ram) == host);
    lunik_ram_unref(ram);
    rcu_drain();
    check_true("  stays", mapped(host));
    munmap(host, MIB);
}

/* ---- preallocation -------------------------------------------------------------------------- */

struct seen {
    uint64_t last, calls;
    bool orderly;
};

static void progress(void *opaque, uint64_t done, uint64_t total)
{
    struct seen *seen = opaque;

    seen->orderly = seen->orderly && done > seen->last && total == 40 * MIB;
    seen->last = done;
    seen->calls++;
}

static uint64_t resident(const lunik_ram *ram)
{
    size_t pages = lunik_ram_size(ram) / 4096, count = 0;
    unsigned char *map = malloc(pages);

    if (!map || mincore(lunik_ram_host(ram), pages * 4096, map))
        abort();
    for (size_t i = 0; i < pages; i++)
        count += map[i] & 1;
    free(map);
    return count * 4096;
}

static void check_prealloc(const char *name, unsigned threads)
{
    struct seen seen = {.orderly = true};
    lunik_ram *ram;

    make(&ram, (lunik_ram_config){.fd = -1, .size = 40 * MIB});
    *(char *)lunik_ram_host(ram) = 'k';
    check_int(name, lunik_ram_prealloc(ram, threads, NULL, progress, &seen, &err), 0);
    check_uint("  every page is there", resident(ram), 40 * MIB);
    check_int("  and unchanged", *(char *)lunik_ram_host(ram), 'k');
    check_true("  progress grows", seen.orderly && seen.calls > 0);
    check_uint("  to the end", seen.last, 40 * MIB);
    lunik_ram_unref(ram);
}

/* A file that shrinks below its mapping is what SIGBUS comes from. */
static void check_truncated(const char *name)
{
    int fd = file_of(40 * MIB);
    struct sigaction before, after;
    lunik_ram *ram;

    make(&ram, (lunik_ram_config){.fd = fd, .size = 40 * MIB, .share = true});
    if (ftruncate(fd, (off_t)(20 * MIB)))
        abort();
    sigaction(SIGBUS, NULL, &before);
    err = (lunik_error){0};
    check_int(name, lunik_ram_prealloc(ram, 2, NULL, NULL, NULL, &err), LUNIK_E_NO_SPACE);
    check_contains("  says why", err.message,
                   "of 41943040: its file system is full or its file was truncated");
    sigaction(SIGBUS, NULL, &after);
    check_true("  and leaves SIGBUS alone", before.sa_handler == after.sa_handler);
    lunik_ram_unref(ram);
    close(fd);
}

/* From here on madvise() knows MADV_POPULATE_* no more, as before Linux 5.14. */
static bool forget_populate(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 22, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void)
{
    test_refuses();
    test_anonymous();
    test_file();
    test_borrowed();
    check_prealloc("preallocation by one thread", 1);
    check_prealloc("by more threads than there is work for", 64);
    check_truncated("a truncated file");
    if (forget_populate()) {
        check_prealloc("preallocation on an older kernel", 2);
        check_truncated("a truncated file on an older kernel");
    }
    rcu_drain();
    return check_result();
}
