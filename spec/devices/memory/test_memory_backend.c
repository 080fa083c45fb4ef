/* test_memory_backend.c: memory-backend-ram, -file and -memfd. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ram/ram.h"
#include "check.h"

#define MIB (UINT64_C(1) << 20)

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static char dir[64], path[96];

#define TEXT LUNIK_FIELD_STRING
#define NUM  LUNIK_FIELD_UINT

static lunik_ram *make(const char *type, const lunik_field *extra, size_t count)
{
    lunik_field fields[12] = {TEXT("id", "b")};
    const lunik_memory_backend_ops *ops;
    lunik_object *o;

    for (size_t i = 0; i < count; i++)
        fields[i + 1] = extra[i];
    err = (lunik_error){0};
    if (lunik_object_add(m, type, fields, count + 1, &o, &err))
        return NULL;
    ops = lunik_memory_backend_iface(o);
    return ops->ram(o);
}
#define MAKE(type, ...)                                                                            \
    make((type), (const lunik_field[]){__VA_ARGS__},                                               \
         sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field))

static void drop(void)
{
    lunik_object_del(m, "b", &err);
}

static void refuses(const char *message, const lunik_ram *made)
{
    check_true(message, !made);
    check_string("  says so", err.message, message);
    if (made)
        drop();
}

static int64_t file_size(void)
{
    struct stat st;
    return stat(path, &st) ? -1 : (int64_t)st.st_size;
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");

    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static unsigned entries(void)
{
    char command[128];
    unsigned count = 0;
    FILE *f;

    snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
    f = popen(command, "r");
    if (!f || fscanf(f, "%u", &count) != 1)
        abort();
    pclose(f);
    return count;
}

static bool get_flag(const char *property)
{
    lunik_value v = {.kind = LUNIK_NIL};

    lunik_object_get(lunik_object_find(m, "b"), property, &v, &err);
    return v.kind == LUNIK_BOOL && v.boolean;
}

/* True if the host promises more memory than it has. */
static bool overcommits(void)
{
    FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
    bool always = f && fgetc(f) == '1';

    if (f)
        fclose(f);
    return always;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_ram(void)
{
    lunik_ram *ram = MAKE("memory-backend-ram", TEXT("size", "4M"));

    check_uint("ram", ram ? lunik_ram_size(ram) : 0, 4 * MIB);
    check_true("is private, has no file", !lunik_ram_shared(ram) && lunik_ram_fd(ram) < 0);
    check_true("merges and dumps by default", get_flag("merge") && get_flag("dump"));
    lunik_object_set(lunik_object_find(m, "b"), "merge", &TEXT("", "off").value, &err);
    check_true("until told otherwise", !get_flag("merge"));
    drop();
    refuses("memory-backend-ram: size: is missing (want e.g. 512M, 4G)",
            MAKE("memory-backend-ram", TEXT("share", "on")));
    refuses("memory-backend-ram: size: 0 is out of range (want at least 1)",
            MAKE("memory-backend-ram", NUM("size", 0)));
    refuses("memory-backend-ram: b: size: 4097 is not a multiple of the page size 4096",
            MAKE("memory-backend-ram", NUM("size", 4097)));
    refuses("memory-backend-ram: b: size: 1152921504606846976 bytes are more than the host can map",
            MAKE("memory-backend-ram", TEXT("size", "1E")));
    if (!overcommits())
        refuses("memory-backend-ram: b: size: 35184372088832 bytes are more than the host can map",
                MAKE("memory-backend-ram", TEXT("size", "32T")));
    refuses("memory-backend-ram: prealloc-threads: 0 is out of range (want 1 to 256)",
            MAKE("memory-backend-ram", NUM("size", MIB), NUM("prealloc-threads", 0)));
    refuses("memory-backend-ram: reserve: off can't go with prealloc on",
            MAKE("memory-backend-ram", NUM("size", MIB), TEXT("prealloc", "on"),
                 TEXT("reserve", "off")));
    refuses("'memory-backend' is abstract (want a type made from it)",
            MAKE("memory-backend", NUM("size", MIB)));
}

static void test_policy(void)
{
    refuses("memory-backend-ram: host-nodes: must be set for policy bind",
            MAKE("memory-backend-ram", NUM("size", MIB), TEXT("policy", "bind")));
    refuses("memory-backend-ram: host-nodes: must be empty for policy default (want policy "
            "preferred, bind or interleave)",
            MAKE("memory-backend-ram", NUM("size", MIB), NUM("host-nodes", 0)));
    refuses("memory-backend-ram: host-nodes: 1024 is out of range (want 0 to 1023)",
            MAKE("memory-backend-ram", NUM("size", MIB), NUM("host-nodes", 1024)));
    refuses("memory-backend-ram: host-nodes: 1023 is not a memory node of this host",
            MAKE("memory-backend-ram", NUM("size", MIB), TEXT("policy", "bind"),
                 NUM("host-nodes", 1023)));
    if (access("/sys/devices/system/node/node0", F_OK))
        return;
    check_true("bound to node 0", MAKE("memory-backend-ram", NUM("size", MIB),
                                       TEXT("policy", "bind"), NUM("host-nodes", 0)));
    drop();
}

static void test_memfd(void)
{
    lunik_ram *ram = MAKE("memory-backend-memfd", TEXT("size", "4M"));
    int seals;

    if (!check_true("memfd", ram != NULL))
        return;
    check_true("is shared, has a file", lunik_ram_shared(ram) && lunik_ram_fd(ram) >= 0);
    seals = fcntl(lunik_ram_fd(ram), F_GET_SEALS);
    check_int("that is sealed", seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    drop();
    ram =
        MAKE("memory-backend-memfd", TEXT("size", "4M"), TEXT("share", "off"), TEXT("seal", "off"));
    check_true("private and not sealed if told so",
               ram && !lunik_ram_shared(ram) && ftruncate(lunik_ram_fd(ram), 0) == 0);
    drop();
    refuses("memory-backend-memfd: hugetlbsize: needs hugetlb on",
            MAKE("memory-backend-memfd", TEXT("size", "4M"), TEXT("hugetlbsize", "2M")));
    refuses("memory-backend-memfd: hugetlbsize: 8192 is not a huge page size of this host",
            MAKE("memory-backend-memfd", TEXT("size", "4M"), TEXT("hugetlb", "on"),
                 TEXT("hugetlbsize", "8K")));
    if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK))
        return;
    refuses("memory-backend-memfd: size: 1048576 is not a multiple of the page size 2097152",
            MAKE("memory-backend-memfd", TEXT("size", "1M"), TEXT("hugetlb", "on"),
                 TEXT("hugetlbsize", "2M")));
    refuses("memory-backend-memfd: b: the host has too few free huge pages of 2097152 bytes for "
            "1099511627776 bytes",
            MAKE("memory-backend-memfd", TEXT("size", "1T"), TEXT("hugetlb", "on"),
                 TEXT("hugetlbsize", "2M")));
}

static void test_file(void)
{
    lunik_ram *ram = MAKE("memory-backend-file", TEXT("size", "4M"), TEXT("mem-path", path),
                          TEXT("share", "on"));

    if (!check_true("a missing file is made", ram && file_size() == 4 * MIB))
        return;
    strcpy(lunik_ram_host(ram), "kept");
    drop();
    ram = MAKE("memory-backend-file", TEXT("size", "2M"), TEXT("mem-path", path));
    check_true("its contents stay, its size too",
               ram && !strcmp(lunik_ram_host(ram), "kept") && file_size() == 4 * MIB);
    strcpy(lunik_ram_host(ram), "lost");
    drop();
    ram = MAKE("memory-backend-file", TEXT("size", "2M"), TEXT("mem-path", path),
               TEXT("share", "on"), TEXT("discard-data", "on"));
    check_string("what was written privately is lost", lunik_ram_host(ram), "kept");
    drop();
    ram = MAKE("memory-backend-file", TEXT("size", "2M"), TEXT("mem-path", path),
               TEXT("readonly", "on"), TEXT("align", "1G"));
    check_string("discarded", lunik_ram_host(ram), "");
    check_true("read-only", lunik_ram_readonly(ram));
    check_uint("aligned", lunik_ram_align(ram), 1024 * MIB);
    drop();
    ram = MAKE("memory-backend-file", TEXT("size", "2M"), TEXT("offset", "2M"),
               TEXT("mem-path", path));
    check_uint("at an offset", ram ? lunik_ram_fd_offset(ram) : 0, 2 * MIB);
    drop();
    unlink(path);
}

static void test_bad_files(void)
{
    char message[256];

    refuses("memory-backend-file: mem-path: is missing (want a string, or fd)",
            MAKE("memory-backend-file", TEXT("size", "4M")));
    MAKE("memory-backend-file", TEXT("size", "4M"), TEXT("mem-path", "/nosuch/file"));
    check_string("no such folder", err.message,
                 "memory-backend-file: mem-path: '/nosuch/file': no such file or directory");
    MAKE("memory-backend-file", TEXT("size", "4M"), TEXT("mem-path", path), TEXT("readonly", "on"));
    check_int("readonly makes no file", err.code, LUNIK_E_NOT_FOUND);
    MAKE("memory-backend-file", NUM("size", 5000), TEXT("mem-path", path));
    check_contains("an unaligned size", err.message,
                   "size: 5000 is not a multiple of the page size 4096 of");
    check_int("  leaves no file behind", file_size(), -1);
    MAKE("memory-backend-file", TEXT("size", "1M"), NUM("offset", UINT64_MAX - 4095),
         TEXT("mem-path", path));
    check_contains("an offset too large", err.message, "are more than a file can have");
    MAKE("memory-backend-file", TEXT("size", "1M"), NUM("align", 12288), TEXT("mem-path", path));
    check_contains("a bad alignment", err.message, "align: 12288 is not a power of two");
    check_int("  leave no file behind", file_size(), -1);

    write_file("precious");
    MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", path));
    snprintf(message, sizeof(message),
             "memory-backend-file: mem-path: '%s' has 8 bytes, size and offset need 1048576 (only "
             "an empty file is extended)",
             path);
    check_string("a short file with contents", err.message, message);
    check_int("  is left alone", file_size(), 8);
    write_file("");
    MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", path), TEXT("readonly", "on"));
    check_contains("an empty file is not extended", err.message, "and it is readonly");
    MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", path), TEXT("policy", "bind"));
    check_int("a failure later on", file_size(), 0);
    check_true("an empty file is extended",
               MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", path)) &&
                   file_size() == MIB);
    drop();
    unlink(path);
}

static void test_descriptor(void)
{
    char message[256];
    int fd = memfd_create("given", MFD_CLOEXEC), reader;
    lunik_ram *ram =
        MAKE("memory-backend-file", TEXT("size", "1M"), NUM("fd", fd), TEXT("share", "on"));

    check_true("of an open file, which is extended", ram && lseek(fd, 0, SEEK_END) == MIB);
    strcpy(lunik_ram_host(ram), "kept");
    check_true("is of a duplicate", lunik_ram_fd(ram) >= 0 && lunik_ram_fd(ram) != fd);
    drop();
    check_true("it stays open, with its contents",
               pread(fd, message, 5, 0) == 5 && !strcmp(message, "kept"));
    MAKE("memory-backend-file", TEXT("size", "2M"), NUM("fd", fd));
    snprintf(message, sizeof(message),
             "memory-backend-file: fd: 'descriptor %d' has 1048576 bytes, size and offset need "
             "2097152 (only an empty file is extended)",
             fd);
    check_string("too short a file", err.message, message);
    snprintf(message, sizeof(message), "/proc/self/fd/%d", fd);
    reader = open(message, O_RDONLY | O_CLOEXEC);
    MAKE("memory-backend-file", TEXT("size", "1M"), NUM("fd", reader), TEXT("share", "on"));
    check_int("one that may only be read", err.code, LUNIK_E_DENIED);
    check_true("  can be ROM", MAKE("memory-backend-file", TEXT("size", "1M"), NUM("fd", reader),
                                    TEXT("share", "on"), TEXT("readonly", "on")));
    drop();
    close(reader);
    MAKE("memory-backend-file", TEXT("size", "1M"), NUM("fd", reader));
    check_contains("a closed one", err.message, "bad file descriptor");
    refuses("memory-backend-file: fd: can't go with mem-path",
            MAKE("memory-backend-file", TEXT("size", "1M"), NUM("fd", fd), TEXT("mem-path", path)));
    close(fd);
}

static void test_directory(void)
{
    lunik_ram *ram =
        MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", dir), TEXT("share", "on"));

    check_true("a directory", ram && lunik_ram_fd(ram) >= 0);
    check_uint("shows no file", entries(), 0);
    drop();
    MAKE("memory-backend-file", TEXT("size", "1M"), TEXT("mem-path", dir), TEXT("readonly", "on"));
    check_contains("readonly", err.message, "is a directory (readonly wants a file)");
}

/* ---- preallocation -------------------------------------------------------------------------- */

struct seen {
    unsigned events;
    uint64_t done;
    int add_code, del_code;
    bool found, close;
};

static void on_event(void *opaque, const lunik_event *event)
{
    struct seen *seen = opaque;

    if (strcmp(event->name, "prealloc-progress"))
        return;
    seen->events++;
    seen->done = event->fields[1].value.uint;
    seen->found = seen->found || lunik_object_find(m, "b");
    seen->add_code =
        lunik_object_add(m, "memory-backend-ram",
                         (const lunik_field[]){TEXT("id", "b"), NUM("size", MIB)}, 2, NULL, NULL);
    seen->del_code = lunik_object_del(m, "b", NULL);
    if (seen->close)
        lunik_machine_close(m);
}

static void test_prealloc(void)
{
    struct seen seen = {.close = false};
    lunik_event_sub events = {.fn = on_event, .opaque = &seen};

    lunik_event_subscribe(m, &events);
    check_true("preallocated", MAKE("memory-backend-memfd", TEXT("size", "40M"),
                                    TEXT("prealloc", "on"), NUM("prealloc-threads", 2)));
    check_true("events come while it is under way", seen.events > 0);
    check_uint("up to the end", seen.done, 40 * MIB);
    check_true("it is not found before", !seen.found);
    check_int("its id is taken", seen.add_code, LUNIK_E_EXISTS);
    check_int("it can't be deleted", seen.del_code, LUNIK_E_NOT_FOUND);
    drop();
    lunik_event_unsubscribe(&events);
}

/* The machine is closed meanwhile: by an event's callback here, by another thread elsewhere. */
static void test_closed_meanwhile(void)
{
    struct seen seen = {.close = true};
    lunik_event_sub events = {.fn = on_event, .opaque = &seen};

    lunik_event_subscribe(m, &events);
    lunik_machine_ref(m);
    MAKE("memory-backend-ram", TEXT("size", "40M"), TEXT("prealloc", "on"));
    check_int("closed while it preallocates", err.code, LUNIK_E_GONE);
    check_string("  it says", err.message, "machine 'machine' is closed");
    lunik_machine_unref(m);
}

int main(void)
{
    const lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};

    strcpy(dir, "/tmp/lunik-backend.XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/file", dir);
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &m, &err)) {
        check_string("set up", err.message, "");
        return 1;
    }
    test_ram();
    test_policy();
    test_memfd();
    test_file();
    test_bad_files();
    test_descriptor();
    test_directory();
    test_prealloc();
    test_closed_meanwhile();
    lunik_runtime_free(rt);
    check_int("nothing is left", rmdir(dir), 0);
    return check_result();
}
