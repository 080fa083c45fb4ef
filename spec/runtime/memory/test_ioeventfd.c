/* test_ioeventfd.c: ioeventfds and coalesced ranges of regions, by example. */
#include <fcntl.h>

#include "ioeventfd.h"
#include "transcript.h"

static const lunik_io_ops big_ops = {.write = on_write, .endian = LUNIK_BIG_ENDIAN};

/* ---- what listeners hear -------------------------------------------------------------------- */

struct recorder {
    lunik_listener listener;
    bool refuses;
};

static struct transcript heard;

static void hear_begin(lunik_listener *l)
{
    note(&heard, "%s[ ", l->name);
}

static int hear_commit(lunik_listener *l, lunik_error *e)
{
    struct recorder *r = lunik_container_of(l, struct recorder, listener);
    bool refuses = r->refuses;

    note(&heard, "%s] ", l->name);
    r->refuses = false;
    return refuses ? lunik_fail(e, LUNIK_E_NO_SPACE, "%s is full", l->name) : 0;
}

static void hear_region_add(lunik_listener *l, const lunik_section *s)
{
    note(&heard, "%s+%s@%" PRIx64 " ", l->name, lunik_region_name(s->region), s->address);
}

static void hear_region_del(lunik_listener *l, const lunik_section *s)
{
    note(&heard, "%s-%s@%" PRIx64 " ", l->name, lunik_region_name(s->region), s->address);
}

static void hear_eventfd(const lunik_listener *l, char sign, const lunik_section *s, bool match,
                         uint64_t data)
{
    note(&heard, "%s%c%s:%" PRIx64 ".%" PRIu64, l->name, sign, lunik_region_name(s->region),
         s->address, s->size);
    if (match)
        note(&heard, "=%" PRIx64, data);
    note(&heard, " ");
}

static void hear_eventfd_add(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                             int fd)
{
    hear_eventfd(l, '+', s, match, data);
}

static void hear_eventfd_del(lunik_listener *l, const lunik_section *s, bool match, uint64_t data,
                             int fd)
{
    hear_eventfd(l, '-', s, match, data);
}

static void hear_coalesced_add(lunik_listener *l, const lunik_section *s, uint64_t address,
                               uint64_t size)
{
    note(&heard, "%s+~%" PRIx64 ".%" PRIx64 " ", l->name, address, size);
}

static void hear_coalesced_del(lunik_listener *l, const lunik_section *s, uint64_t address,
                               uint64_t size)
{
    note(&heard, "%s-~%" PRIx64 ".%" PRIx64 " ", l->name, address, size);
}

static struct recorder recorder(const char *name, int priority, lunik_space *space)
{
    return (struct recorder){.listener = {.name = name,
                                          .priority = priority,
                                          .space = space,
                                          .begin = hear_begin,
                                          .region_add = hear_region_add,
                                          .region_del = hear_region_del,
                                          .commit = hear_commit,
                                          .eventfd_add = hear_eventfd_add,
                                          .eventfd_del = hear_eventfd_del,
                                          .coalesced_add = hear_coalesced_add,
                                          .coalesced_del = hear_coalesced_del}};
}

static lunik_region *root, *dev;
static lunik_space *space;

static void move_to(uint64_t offset)
{
    must("move", lunik_region_set_offset(dev, offset, &err));
}

static void test_listeners(void)
{
    struct recorder high = recorder("H", 9, space), low = recorder("L", 1, space);
    struct recorder late = recorder("X", 5, space);
    lunik_region *cover = make("cover", LUNIK_REGION_IO, 2, NULL, 0);
    lunik_region *alias = make("alias", LUNIK_REGION_ALIAS, 8, dev, 0x10);
    int fd = new_fd();

    must("listener", lunik_listener_add(m, &high.listener, &err));
    must("listener", lunik_listener_add(m, &low.listener, &err));
    must("add", lunik_region_add(root, 0x1000, dev, 0, false, &err));
    clear(&heard);
    must("eventfd", lunik_region_add_eventfd(dev, 0x10, 4, true, 7, fd, &err));
    check_transcript("listeners: an eventfd alone", &heard,
                     "L[ H[ L+dev:1010.4=7 H+dev:1010.4=7 L] H] ");
    must("eventfd", lunik_region_add_eventfd(dev, 0x10, 2, false, 0, fd, &err));
    must("coalesce", lunik_region_coalesce(dev, 0x20, 0x10, &err));
    clear(&heard);
    move_to(0x2000);
    check_transcript(
        "listeners: order", &heard,
        "L[ H[ H-dev:1010.2 L-dev:1010.2 H-dev:1010.4=7 L-dev:1010.4=7 H-~1020.10 "
        "L-~1020.10 H-dev@1000 L-dev@1000 L+dev@2000 H+dev@2000 L+dev:2010.2 H+dev:2010.2 "
        "L+dev:2010.4=7 H+dev:2010.4=7 L+~2020.10 H+~2020.10 L] H] ");
    lunik_listener_del(&low.listener);
    clear(&heard);
    must("cover", lunik_region_add(root, 0x2012, cover, 1, true, &err));
    check_transcript("listeners: half a register is none", &heard,
                     "H[ H-dev:2010.4=7 H-dev@2000 H+dev@2000 H+cover@2012 H+dev@2014 H] ");
    must("prio", lunik_region_set_priority(cover, -1, &err));
    check_transcript("listeners: uncovered", &heard,
                     "H[ H-dev@2000 H-cover@2012 H-dev@2014 H+dev@2000 H+dev:2010.4=7 H] ");
    must("alias", lunik_region_add(root, 0x3000, alias, 0, false, &err));
    check_transcript("listeners: through an alias", &heard,
                     "H[ H+dev@3000 H+dev:3000.2 H+dev:3000.4=7 H] ");
    must("alias", lunik_region_set_alias_offset(alias, 0x1c, &err));
    check_transcript("listeners: part of a coalesced range", &heard,
                     "H[ H-dev:3000.2 H-dev:3000.4=7 H-dev@3000 H+dev@3000 H+~3004.4 H] ");
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    check_transcript("listeners: wherever it shows", &heard, "H[ H-~2020.10 H-~3004.4 H] ");
    must("coalesce", lunik_region_coalesce(dev, 0, 0x20, &err));
    check_transcript("listeners: registers are not coalesced", &heard,
                     "H[ H+~2000.10 H+~2014.c H+~3000.4 H] ");
    must("del", lunik_region_del_eventfd(dev, 0x10, 4, true, 7, &err));
    check_transcript("listeners: what makes room for more", &heard,
                     "H[ H-dev:2010.4=7 H-~2014.c H+~2012.e H] ");
    must("listener", lunik_listener_add(m, &late.listener, &err));
    check_transcript("listeners: late registration replays", &heard,
                     "X[ X+dev@2000 X+dev@3000 X+~2000.10 X+dev:2010.2 X+~2012.e X+~3000.4 X] ");
    lunik_listener_del(&late.listener);
    check_transcript("listeners: and is unwound", &heard,
                     "X[ X-~2000.10 X-dev:2010.2 X-~2012.e X-~3000.4 X-dev@2000 X-dev@3000 X] ");
    must("disable", lunik_region_set_enabled(dev, false, &err));
    check_transcript("listeners: disabled", &heard,
                     "H[ H-~2000.10 H-dev:2010.2 H-~2012.e H-~3000.4 H-dev@2000 "
                     "H-dev@3000 H+cover@2012 H] ");
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    must("del", lunik_region_del_eventfd(dev, 0x10, 2, false, 0, &err));
    check_transcript("listeners: nothing of what does not show", &heard, "");
    must("enable", lunik_region_set_enabled(dev, true, &err));
    lunik_listener_del(&high.listener);
    must("cover", lunik_region_del(cover, &err));
    must("alias", lunik_region_del(alias, &err));
    lunik_region_unref(cover);
    lunik_region_unref(alias);
    close(fd);
}

/* A coalesced range of another region is another range, even at the same address. */
static void test_replaced_range(void)
{
    struct recorder r = recorder("R", 0, space);
    lunik_region *other = make("other", LUNIK_REGION_IO, 0x40, NULL, 0);

    move_to(0x1000);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x10, &err));
    must("coalesce", lunik_region_coalesce(other, 0, 0x10, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    must("other", lunik_region_add(root, 0x1000, other, 1, true, &err));
    check_transcript("replaced: a range by one of another region", &heard,
                     "R[ R-~1000.10 R-dev@1000 R+other@1000 R+~1000.10 R] ");
    must("other", lunik_region_del(other, &err));
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    lunik_listener_del(&r.listener);
    lunik_region_unref(other);
}

/* A register may lie in a longer one. */
static void test_nested_registers(void)
{
    struct recorder r = recorder("R", 0, space);
    int fd = new_fd();

    move_to(0x1000);
    must("long", lunik_region_add_eventfd(dev, 0, 8, false, 0, fd, &err));
    must("short", lunik_region_add_eventfd(dev, 2, 1, false, 0, fd, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    must("last", lunik_region_add_eventfd(dev, 7, 1, false, 0, fd, &err));
    check_transcript("nested: at the end of a long one, past a short one", &heard,
                     "R[ R+dev:1007.1 R] ");
    lunik_listener_del(&r.listener);
    must("del", lunik_region_del_eventfd(dev, 0, 8, false, 0, &err));
    must("del", lunik_region_del_eventfd(dev, 2, 1, false, 0, &err));
    must("del", lunik_region_del_eventfd(dev, 7, 1, false, 0, &err));
    close(fd);
}

static void test_rollback(void)
{
    struct recorder r = recorder("R", 1, space);
    int fd = new_fd(), other = new_fd();

    move_to(0x1000);
    must("eventfd", lunik_region_add_eventfd(dev, 0, 4, false, 0, fd, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    r.refuses = true;
    check_int("rollback: a listener refuses",
              lunik_region_add_eventfd(dev, 8, 4, false, 0, other, &err), LUNIK_E_NO_SPACE);
    check_transcript("rollback: and is notified of the reverse", &heard,
                     "R[ R+dev:1008.4 R] R[ R-dev:1008.4 R] ");
    lunik_space_store(space, 0x1008, 4, 1);
    check_uint("rollback: not signalled", signals(other), 0);
    lunik_transaction_begin(m);
    must("del", lunik_region_del_eventfd(dev, 0, 4, false, 0, &err));
    must("add", lunik_region_add_eventfd(dev, 0, 0, false, 0, other, &err));
    must("coalesce", lunik_region_coalesce(dev, 0x20, 4, &err));
    lunik_space_store(space, 0x1000, 4, 1);
    check_uint("transaction: not before its commit", signals(fd), 1);
    lunik_transaction_abort(m);
    check_transcript("transaction: aborted", &heard, "");
    lunik_space_store(space, 0x1000, 4, 1);
    check_uint("transaction: aborted, the old one is back", signals(fd), 1);
    check_uint("transaction: aborted, the new one is not", signals(other), 0);
    lunik_transaction_begin(m);
    must("del", lunik_region_del_eventfd(dev, 0, 4, false, 0, &err));
    must("add", lunik_region_add_eventfd(dev, 0, 4, false, 0, other, &err));
    must("commit", lunik_transaction_commit(m, &err));
    check_transcript("transaction: swapped", &heard, "R[ R-dev:1000.4 R+dev:1000.4 R] ");
    lunik_space_store(space, 0x1000, 4, 1);
    check_uint("transaction: the old fd is out", signals(fd), 0);
    check_uint("transaction: the new one in", signals(other), 1);
    must("del", lunik_region_del_eventfd(dev, 0, 4, false, 0, &err));
    lunik_listener_del(&r.listener);
    close(fd);
    close(other);
}

static void test_dispatch(void)
{
    int any = new_fd(), two = new_fd(), five = new_fd();
    uint8_t bytes[8] = {0};
    lunik_region_stats before, after;

    must("eventfd", lunik_region_add_eventfd(dev, 0, 0, false, 0, any, &err));
    must("eventfd", lunik_region_add_eventfd(dev, 8, 2, false, 0, two, &err));
    must("eventfd", lunik_region_add_eventfd(dev, 8, 4, true, 5, five, &err));
    device_writes = 0;
    lunik_region_get_stats(dev, &before);
    for (unsigned size = 1; size <= 8; size *= 2)
        check_int("dispatch: a write", lunik_space_store(space, 0x1000, size, 0), 0);
    check_uint("dispatch: of any size", signals(any), 4);
    lunik_space_store(space, 0x1008, 2, 9);
    lunik_space_store(space, 0x1008, 4, 5);
    check_uint("dispatch: of one size", signals(two), 1);
    check_uint("dispatch: of one value", signals(five), 1);
    lunik_space_write(space, 0x1000, bytes, 8);
    check_uint("dispatch: a bulk write in pieces", signals(any), 1);
    check_uint("dispatch: the device is not asked", device_writes, 0);
    lunik_region_get_stats(dev, &after);
    check_uint("dispatch: nor counted", after.writes, before.writes);
    lunik_space_store(space, 0x1008, 4, 6);
    lunik_space_store(space, 0x1008, 1, 5);
    lunik_space_store(space, 0x1001, 1, 5);
    check_uint("dispatch: others are the device's", device_writes, 3);
    check_uint("dispatch: none was signalled", signals(any) + signals(two) + signals(five), 0);
    must("del", lunik_region_del_eventfd(dev, 0, 0, false, 0, &err));
    close(any);
    close(two); /* ours is a duplicate */
    lunik_space_store(space, 0x1000, 4, 1);
    lunik_space_store(space, 0x1008, 2, 1);
    check_uint("dispatch: detached", device_writes, 4);
    must("del", lunik_region_del_eventfd(dev, 8, 2, false, 0, &err));
    must("del", lunik_region_del_eventfd(dev, 8, 4, true, 5, &err));
    close(five);
}

static void test_big_endian(void)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "big", .size = 8, .ops = &big_ops};
    struct recorder r = recorder("R", 1, space);
    lunik_region *big = NULL;
    int fd = new_fd();

    must("region", lunik_region_new(m, &config, &big, &err));
    must("eventfd", lunik_region_add_eventfd(big, 0, 4, true, 0x11223344, fd, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    must("add", lunik_region_add(root, 0x5000, big, 0, false, &err));
    check_transcript("big endian: data as the guest writes it", &heard,
                     "R[ R+big@5000 R+big:5000.4=44332211 R] ");
    lunik_space_store(space, 0x5000, 4, 0x44332211);
    check_uint("big endian: signalled", signals(fd), 1);
    lunik_space_store(space, 0x5000, 4, 0x11223344);
    check_uint("big endian: another value is the device's", device_value, 0x44332211);
    must("del", lunik_region_del(big, &err));
    lunik_listener_del(&r.listener);
    lunik_region_unref(big);
    close(fd);
}

static void refused(const char *name, int rc, int want, const char *text)
{
    check_int(name, rc, want);
    check_contains(name, err.message, text);
}

static void test_errors(void)
{
    lunik_region *container = make("container", LUNIK_REGION_CONTAINER, 8, NULL, 0);
    int fd = new_fd(), pipe_fds[2];

    if (pipe(pipe_fds))
        must("pipe", -1);
#define ADD(r, offset, size, match, data, event)                                                   \
    lunik_region_add_eventfd((r), (offset), (size), (match), (data), (event), &err)
    refused("errors: kind", ADD(container, 0, 4, false, 0, fd), LUNIK_E_INVALID,
            "'container': ioeventfd: it has no write callback");
    refused("errors: size", ADD(dev, 0, 3, false, 0, fd), LUNIK_E_INVALID,
            "size: '3' is not an access size");
    refused("errors: end", ADD(dev, 0x3e, 4, false, 0, fd), LUNIK_E_INVALID, "beyond the region");
    refused("errors: offset", ADD(dev, UINT64_MAX, 8, false, 0, fd), LUNIK_E_INVALID, "beyond");
    refused("errors: match", ADD(dev, 0, 0, true, 0, fd), LUNIK_E_INVALID,
            "match: it needs a size");
    refused("errors: data", ADD(dev, 0, 1, true, 0x100, fd), LUNIK_E_INVALID,
            "data: '0x100' does not fit into 1 bytes");
    refused("errors: a pipe", ADD(dev, 0, 4, false, 0, pipe_fds[1]), LUNIK_E_INVALID,
            "is not an eventfd");
    refused("errors: no fd", ADD(dev, 0, 4, false, 0, -1), LUNIK_E_INVALID, "'-1' is not");
    must("eventfd", ADD(dev, 0, 4, true, 1, fd));
    must("eventfd", ADD(dev, 0, 4, true, 2, fd));
    must("eventfd", ADD(dev, 0, 2, false, 0, fd));
    refused("errors: twice", ADD(dev, 0, 4, true, 1, fd), LUNIK_E_EXISTS, "some of its writes");
    refused("errors: all values", ADD(dev, 0, 4, false, 0, fd), LUNIK_E_EXISTS,
            "some of its writes");
    refused("errors: all sizes", ADD(dev, 0, 0, false, 0, fd), LUNIK_E_EXISTS,
            "some of its writes");
#undef ADD
    refused("errors: none to detach", lunik_region_del_eventfd(dev, 0, 4, true, 3, &err),
            LUNIK_E_NOT_FOUND, "no such ioeventfd at 0x0");
    refused("errors: coalesced size", lunik_region_coalesce(dev, 0x3f, 2, &err), LUNIK_E_INVALID,
            "0x2 bytes at 0x3f");
    refused("errors: coalesced nothing", lunik_region_coalesce(dev, 0, 0, &err), LUNIK_E_INVALID,
            "0x0 bytes");
    refused("errors: coalesced kind", lunik_region_coalesce(container, 0, 1, &err), LUNIK_E_INVALID,
            "'container': coalesce");
    must("del", lunik_region_del_eventfd(dev, 0, 4, true, 1, &err));
    must("del", lunik_region_del_eventfd(dev, 0, 4, true, 2, &err));
    must("del", lunik_region_del_eventfd(dev, 0, 2, false, 0, &err));
    lunik_region_unref(container);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static unsigned called;
static uint64_t called_count;

static void on_event(void *opaque, uint64_t count)
{
    called++;
    called_count += count;
}

static void test_callback(void)
{
    lunik_ioeventfd_config config = {.offset = 4, .size = 4, .fn = on_event};
    lunik_ioeventfd *e = NULL, *second = NULL;

    must("new", lunik_ioeventfd_new(dev, &config, &e, &err));
    check_int("callback: taken", lunik_ioeventfd_new(dev, &config, &second, &err), LUNIK_E_EXISTS);
    for (int i = 0; i < 3; i++)
        lunik_space_store(space, 0x1004, 4, 1);
    check_uint("callback: not from the write", called, 0);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    check_uint("callback: once", called, 1);
    check_uint("callback: with the count", called_count, 3);
    lunik_space_store(space, 0x1004, 4, 1);
    must("close", lunik_ioeventfd_close(e, &err));
    lunik_run(rt, LUNIK_RUN_NOWAIT);
    check_uint("callback: not after it is closed", called, 1);
    config.fn = NULL;
    must("new", lunik_ioeventfd_new(dev, &config, &e, &err));
    lunik_space_store(space, 0x1004, 4, 1);
    check_uint("callback: without one there is the fd", signals(lunik_ioeventfd_fd(e)), 1);
    must("close", lunik_ioeventfd_close(e, &err));
}

/* The owner of an ioeventfd may outlive the machine. */
static void test_close_late(void)
{
    static const lunik_machine_config config = {
        .name = "short", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_region_config part = {.kind = LUNIK_REGION_IO, .name = "part", .size = 4, .ops = &ops};
    lunik_ioeventfd_config event = {.fn = on_event};
    lunik_machine *closed;
    lunik_ioeventfd *e;
    lunik_region *r;

    must("machine", lunik_machine_new(rt, &config, &closed, &err));
    must("region", lunik_region_new(closed, &part, &r, &err));
    must("new", lunik_ioeventfd_new(r, &event, &e, &err));
    lunik_region_unref(r);
    lunik_machine_close(closed);
    check_int("close: after the machine", lunik_ioeventfd_close(e, &err), 0);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

static void test_examples(void)
{
    root = make("root", LUNIK_REGION_CONTAINER, 0x10000, NULL, 0);
    dev = make("dev", LUNIK_REGION_IO, 0x40, NULL, 0);
    must("space", lunik_space_new(m, "test", root, &space, &err));
    test_listeners();
    test_replaced_range();
    test_nested_registers();
    test_rollback();
    test_dispatch();
    test_big_endian();
    test_errors();
    test_callback();
    test_close_late();
    must("del", lunik_region_del(dev, &err));
    lunik_space_free(space);
    lunik_region_unref(dev);
    lunik_region_unref(root);
}

static unsigned open_files(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(void)
{
    unsigned files;

    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    files = open_files();
    test_examples();
    check_uint("no set is left behind", m->memory->io_sets, 0);
    lunik_unlock(rt);
    rcu_drain();
    lunik_lock(rt);
    check_uint("no file is, either", open_files(), files);
    lunik_runtime_free(rt);
    return check_result();
}
