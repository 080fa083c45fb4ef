/*
 * test_blockdev_file.c: disks in files: random requests next to a copy in memory, every way to
 * carry them out; limits, locks, sizes, files that are cut off, a channel that is closed early.
 *
 * usage: test_blockdev_file [SEED]
 */
#define _GNU_SOURCE /* strsep */
#include <time.h>

#include "block_rig.h"
#include "random.h"

enum { DISK = 1 << 20, SLOTS = 16, SLOT = DISK / SLOTS, PIECES = 5, STEPS = 120 };

static uint8_t model[DISK];

/* ---- random requests ------------------------------------------------------------------------ */

/* Each slot is a stretch of the disk that has one request at a time. */
static struct slot {
    struct block_request b;
    struct iovec iov[PIECES];
    bool busy;
    uint8_t memory[SLOT + 4096 + PIECES] __attribute__((aligned(4096)));
} slots[SLOTS];

static bool unmaps;
static unsigned wrong;

static void take_answer(struct block_request *r, int rc)
{
    struct slot *s = lunik_container_of(r, struct slot, b);
    uint64_t at = r->offset;

    s->busy = false;
    if (rc) {
        printf("# %s at 0x%llx, 0x%llx bytes: %d\n", block_op_name(r->op),
               (unsigned long long)r->offset, (unsigned long long)r->size, rc);
        wrong++;
        return;
    }
    if (r->op == BLOCK_WRITE_ZEROES || (r->op == BLOCK_DISCARD && unmaps))
        memset(model + at, 0, r->size);
    for (unsigned i = 0; r->op <= BLOCK_WRITE && i < r->count; i++) {
        if (r->op == BLOCK_WRITE)
            memcpy(model + at, s->iov[i].iov_base, s->iov[i].iov_len);
        else if (memcmp(model + at, s->iov[i].iov_base, s->iov[i].iov_len))
            wrong++;
        at += s->iov[i].iov_len;
    }
}

/* Pieces of any size at any address; at times such as O_DIRECT takes them. */
static void choose_pieces(struct slot *s)
{
    bool tidy = chance(2);
    uint8_t *at = s->memory + (tidy ? 0 : chance(4096));
    uint64_t left = s->b.size;
    unsigned count = 1 + chance(PIECES);

    s->b.iov = s->iov;
    s->b.count = 0;
    while (left) {
        uint64_t size = s->b.count + 1 == count ? left : 1 + chance((unsigned)left);

        if (tidy)
            size = (size + 511) / 512 * 512;
        s->iov[s->b.count++] = (struct iovec){at, size};
        at += size;
        left -= size;
    }
}

static void send_request(unsigned n)
{
    struct slot *s = &slots[n];
    uint64_t first = chance(SLOT / 512), count = 1 + chance(SLOT / 512 - (unsigned)first);
    static const enum block_op ops[] = {BLOCK_READ,  BLOCK_READ,    BLOCK_WRITE,       BLOCK_WRITE,
                                        BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES};

    s->busy = true;
    s->b = (struct block_request){.op = ops[chance(7)],
                                  .offset = n * (uint64_t)SLOT + first * 512,
                                  .size = count * 512,
                                  .done = take_answer};
    if (s->b.op == BLOCK_WRITE || s->b.op == BLOCK_WRITE_ZEROES)
        s->b.flags = chance(4) ? 0 : BLOCK_FUA;
    if (s->b.op == BLOCK_WRITE_ZEROES && chance(2))
        s->b.flags |= BLOCK_UNMAP;
    if (s->b.op <= BLOCK_WRITE)
        choose_pieces(s);
    if (s->b.op == BLOCK_WRITE)
        for (unsigned i = 0; i < s->b.count; i++)
            memset(s->iov[i].iov_base, (int)chance(256), s->iov[i].iov_len);
    block_submit(channel, &s->b);
}

/* Sends and waits at random; at the end the file has what the model has. */
static void test_random(const char *folder, const char *options)
{
    static uint8_t content[DISK];
    char path[256];
    int fd = make_file(path, folder, DISK);
    lunik_object *o = new_disk("disk", path, options);

    memset(model, 0, DISK);
    if (!o && err.code == LUNIK_E_UNSUPPORTED) {
        printf("# no %s in %s: %s\n", options, folder, err.message);
        goto out;
    }
    must(options, o ? 0 : -1);
    unmaps = !strstr(options, "discard=ignore");
    open_channel_to(o);
    wrong = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        for (unsigned n = 1 + chance(SLOTS); n; n--) {
            unsigned slot = chance(SLOTS);

            if (!slots[slot].busy)
                send_request(slot);
        }
        block_commit(channel);
        lunik_run_timeout(rt, 0);
        if (!chance(4))
            rig_wait();
    }
    rig_wait();
    check_uint(options, wrong, 0);
    block_close(channel);
    check_true(options, pread(fd, content, DISK, 0) == DISK && !memcmp(content, model, DISK));
    check_true("counted", disk_number(o, "read-operations") && disk_number(o, "write-bytes") &&
                              disk_number(o, "flush-operations") && !disk_number(o, "errors"));
    must("delete", lunik_object_del(m, "disk", &err));
    lunik_run_timeout(rt, 0);
out:
    close(fd);
    unlink(path);
}

static void test_all_ways(void)
{
    static const char *const ways[] = {"",
                                       "aio=threads",
                                       "aio=preadv",
                                       "aio=io_uring",
                                       "direct=true",
                                       "direct=true,aio=threads",
                                       "direct=true,aio=preadv",
                                       "discard=ignore"};

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        test_random("/dev/shm", ways[i]);
        test_random("/var/tmp", ways[i]);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

static void test_limits(void)
{
    static uint8_t data[4096];
    char path[256];
    int fd = make_file(path, "/dev/shm", 8192);
    lunik_object *o = new_disk("disk", path, "");

    must("disk", o ? 0 : -1);
    check_uint("size", disk_number(o, "size"), 8192);
    open_channel_to(o);
    check_int("the last sector", rig_do(BLOCK_READ, 0, 8192 - 512, 512, data), 0);
    check_int("beyond the end", rig_do(BLOCK_READ, 0, 8192 - 512, 1024, data), -22);
    check_int("far beyond", rig_do(BLOCK_WRITE, 0, UINT64_MAX - 511, 512, data), -22);
    check_int("no whole sector", rig_do(BLOCK_WRITE, 0, 0, 100, data), -22);
    check_int("not on a sector", rig_do(BLOCK_DISCARD, 0, 8, 512, NULL), -22);
    check_int("nothing", rig_do(BLOCK_READ, 0, 8192, 0, data), 0);
    check_uint("errors", disk_number(o, "errors"), 4);
    check_int("cut off", ftruncate(fd, 4096), 0);
    check_int("what is gone", rig_do(BLOCK_READ, 0, 4096 - 512, 1024, data), -5);
    block_close(channel);
    must("delete", lunik_object_del(m, "disk", &err));
    o = new_disk("disk", path, "readonly=true");
    must("readonly", o ? 0 : -1);
    open_channel_to(o);
    check_int("reads", rig_do(BLOCK_READ, 0, 0, 4096, data), 0);
    check_int("does not write", rig_do(BLOCK_WRITE, 0, 0, 512, data), -30);
    check_int("nor discard", rig_do(BLOCK_DISCARD, 0, 0, 512, NULL), -30);
    check_int("but flush", rig_do(BLOCK_FLUSH, 0, 0, 0, NULL), 0);
    block_close(channel);
    must("delete", lunik_object_del(m, "disk", &err));
    close(fd);
    unlink(path);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static bool can_add(const char *path, const char *options)
{
    if (!new_disk("other", path, options))
        return false;
    must("delete", lunik_object_del(m, "other", &err));
    return true;
}

static void test_locks(void)
{
    static uint8_t data[512];
    lunik_object *o;
    char path[256];
    int fd = make_file(path, "/var/tmp", 8192);

    must("writer", new_disk("disk", path, "") ? 0 : -1);
    check_true("no second writer", !can_add(path, ""));
    check_int("it is busy", err.code, LUNIK_E_BUSY);
    check_contains("it is named", err.message, path);
    check_true("no reader beside a writer", !can_add(path, "readonly=true"));
    check_true("unless it asks for it", can_add(path, "locking=false"));
    must("delete", lunik_object_del(m, "disk", &err));
    must("reader", new_disk("disk", path, "readonly=true") ? 0 : -1);
    check_true("two readers", can_add(path, "readonly=true"));
    check_true("no writer beside a reader", !can_add(path, ""));
    must("delete", lunik_object_del(m, "disk", &err));
    check_true("free again", can_add(path, ""));
    o = new_disk("disk", path, "aio=threads");
    must("threads", o ? 0 : -1);
    open_channel_to(o);
    check_int("read", rig_do(BLOCK_READ, 0, 0, 512, data), 0);
    block_close(channel);
    must("delete", lunik_object_del(m, "disk", &err));
    check_true("at once, also with threads", can_add(path, ""));
    close(fd);
    unlink(path);
}

/* ---- size ----------------------------------------------------------------------------------- */

static unsigned resized;

static void count_resize(struct block_watch *w)
{
    (void)w;
    resized++;
}

static int set_size(lunik_object *o, uint64_t size)
{
    return lunik_object_set(o, "size", &(lunik_value){.kind = LUNIK_UINT, .uint = size}, &err);
}

static void test_resize(void)
{
    char path[256];
    int fd = make_file(path, "/dev/shm", 8192);
    lunik_object *o = new_disk("disk", path, "");
    struct block_watch watch = {.resized = count_resize};
    struct blockdev *dev = lunik_state(o);

    LIST_INSERT_HEAD(&dev->watches, &watch, link);
    must("grow", set_size(o, 1 << 20));
    check_uint("grown", disk_number(o, "size"), 1 << 20);
    check_uint("with its file", (uint64_t)lseek(fd, 0, SEEK_END), 1 << 20);
    must("shrink", set_size(o, 4096));
    check_uint("notified", resized, 2);
    check_int("to nothing", set_size(o, 0), LUNIK_E_INVALID);
    check_int("to a part of a sector", set_size(o, 1000), LUNIK_E_INVALID);
    check_contains("the value", err.message, "1000");
    check_int("too much", set_size(o, UINT64_MAX - 511), LUNIK_E_INVALID);
    check_uint("stays", disk_number(o, "size"), 4096);
    LIST_REMOVE(&watch, link);
    must("delete", lunik_object_del(m, "disk", &err));
    close(fd);
    unlink(path);
}

/* ---- files that are no disks ---------------------------------------------------------------- */

static void refuse(const char *path, const char *options, int code, const char *text)
{
    check_true(text, !new_disk("disk", path, options));
    check_int(text, err.code, code);
    check_contains(path, err.message, text);
}

static void test_refused(void)
{
    char path[256];
    int fd = make_file(path, "/dev/shm", 1000);

    refuse(path, "", LUNIK_E_INVALID, "has 1000 bytes (want a multiple of 512)");
    refuse("/dev/null", "", LUNIK_E_INVALID, "neither a file nor a block device");
    refuse("/nowhere/disk", "", LUNIK_E_NOT_FOUND, "filename: can't open '/nowhere/disk'");
    refuse("/dev/shm", "readonly=true", LUNIK_E_INVALID, "neither a file");
    refuse(path, "aio=native", LUNIK_E_INVALID, "native");
    refuse(path, "fd=1", LUNIK_E_INVALID, "fd");
    close(fd);
    unlink(path);
}

/* ---- closing early -------------------------------------------------------------------------- */

static void never(struct block_request *r, int rc)
{
    (void)r, (void)rc;
    check_true("not answered", false);
}

static void test_close_early(const char *options)
{
    static uint8_t data[1 << 20];
    static struct block_request r[8];
    static const struct iovec piece = {data, sizeof(data)};
    char path[256];
    int fd = make_file(path, "/var/tmp", sizeof(data));
    lunik_object *o = new_disk("disk", path, options);

    if (!o)
        goto out;
    open_channel_to(o);
    for (unsigned i = 0; i < 8; i++) {
        r[i] = (struct block_request){
            .op = BLOCK_WRITE, .size = sizeof(data), .iov = &piece, .count = 1, .done = never};
        block_submit(channel, &r[i]);
    }
    block_commit(channel);
    block_close(channel);
    must("delete", lunik_object_del(m, "disk", &err));
    for (unsigned i = 0; i < 20; i++)
        lunik_run_timeout(rt, 5);
out:
    close(fd);
    unlink(path);
}

int main(int argc, char **argv)
{
    random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    printf("-- seed %" PRIu64 "\n", random_state);
    block_rig_open();
    test_all_ways();
    test_limits();
    test_locks();
    test_resize();
    test_refused();
    test_close_early("aio=threads");
    test_close_early("aio=io_uring");
    block_rig_close();
    return check_result();
}
