/* test_kvm_coalesced.c: coalesced writes of a running guest arrive before anything can tell that
 * they were late, at what was there when they were made. */
#include "kvm_io_rig.h"

/* A counter's low byte to PORT, 100 times. */
static const uint8_t hundred_out[] = {XOR_EAX,      MOV_DX(PORT), OUT_AL, INC_EAX,
                                      CMP_EAX(100), JNE(-11),     FINISH};

/* Four bytes across the border of two pages. */
static const uint8_t across[] = {0x66,
                                 0xb8,
                                 0x44,
                                 0x33,
                                 0x22,
                                 0x11, /* mov eax, 0x11223344 */
                                 STORE_EAX(DEVICE + 0xffd),
                                 FINISH};

static const lunik_io_ops lockless_ops = {.read = on_read, .write = on_write, .lockless = true};

static void test_read(void)
{
    lunik_region *dev;

    dev = begin_with(0x200, &ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred_and_read, sizeof(hundred_and_read));
    wait_word(DONE, 1);
    check_uint("coalesced: all have arrived before a read", guest_word(ram, RESULT), 100);
    check_uint("coalesced: in order", misplaced, 0);
    check_uint("coalesced: the read is the only exit", exits_for_io(), 1);
    drop(dev);
    end();
}

static void test_looks(void)
{
    lunik_region *dev;
    uint64_t value = 0;

    dev = begin_with(0x200, &ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 2, &err)); /* less than a write */
    lunik_transaction_begin(m);
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("commit", lunik_transaction_commit(m, &err));
    start(hundred, sizeof(hundred));
    wait_word(DONE, 1);
    check_uint("coalesced: no exit", exits_for_io(), 0);
    lunik_space_load(m->memory_space, DEVICE + 0x100, 4, &value);
    check_uint("coalesced: delivered when this process looks", value, 100);
    drop(dev);
    end();
}

/* A device that keeps its count of writes in the guest's memory. */
static lunik_access on_counted_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    lunik_space_store(m->memory_space, RESULT, 4, ++written);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops counting_ops = {.write = on_counted_write};

static uint64_t look_by_map(void)
{
    uint64_t size = 4;
    uint32_t *host = lunik_space_map(m->memory_space, RESULT, &size, false), value = *host;

    lunik_space_unmap(m->memory_space, host, 4, false, 0);
    return value;
}

static uint64_t look_by_search(void)
{
    const uint8_t hundred_le[] = {100, 0, 0, 0};
    const lunik_pattern pattern = {.data = hundred_le, .length = sizeof(hundred_le)};
    uint64_t found;

    return lunik_space_search(m->memory_space, RESULT, 4, &pattern, &found) ? 0 : 100;
}

static lunik_region *removable;

static lunik_access on_removing_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    must("disable", lunik_region_set_enabled(removable, false, &err));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops removing_ops = {.write = on_removing_write};

/* The delivery of writes may remove the memory that a call is about to read. */
static void test_looks_at_nothing(void)
{
    lunik_region *dev;
    uint64_t hash;

    dev = begin_with(0x200, &removing_ops);
    removable = add_to(m->memory_space, 0x20000, make_ram("extra", 0x1000), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred, sizeof(hundred));
    wait_undelivered();
    check_int("coalesced: delivered before it is found out what there is",
              lunik_space_hash(m->memory_space, 0x20000, 0x1000, &hash), LUNIK_E_ACCESS);
    drop(dev);
    drop(removable);
    end();
}

/* A device's changes of RAM are made before a call reads there. */
static void test_looks_at_ram(const char *name, uint64_t (*look)(void))
{
    lunik_region *dev;

    dev = begin_with(0x200, &counting_ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred, sizeof(hundred));
    wait_undelivered();
    check_uint(name, look(), 100);
    drop(dev);
    end();
}

static void test_move(void)
{
    lunik_region *dev, *other;

    dev = begin_with(0x200, &ops);
    other = add_to(m->memory_space, 0x20000, make("other", 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred, sizeof(hundred));
    wait_word(DONE, 1);
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(dev, 0x30000, &err));
    must("move", lunik_region_set_offset(other, DEVICE, &err));
    must("commit", lunik_transaction_commit(m, &err));
    check_uint("coalesced: delivered before the topology changes", written, 100);
    check_string("coalesced: to what was there", last_writer, "dev");
    drop(dev);
    drop(other);
    end();
}

/* The guest writes while a transaction is open: nothing has changed yet for it. */
static void test_open_transaction(void)
{
    lunik_region *dev, *other;

    dev = begin_with(0x200, &ops);
    other = add_to(m->memory_space, 0x20000, make("other", 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    lunik_transaction_begin(m);
    start(hundred, sizeof(hundred));
    wait_undelivered();
    must("move", lunik_region_set_offset(dev, 0x30000, &err));
    must("move", lunik_region_set_offset(other, DEVICE, &err));
    check_uint("coalesced: not yet delivered", written, 0);
    must("commit", lunik_transaction_commit(m, &err));
    check_uint("coalesced: delivered with the commit", written, 100);
    check_string("coalesced: to what was there when they were made", last_writer, "dev");
    drop(dev);
    drop(other);
    end();
}

/* Waits until GO is set, then continues with the code after it. */
static const uint8_t wait_go[] = {CMP_ZERO(GO), JE(-7)};

/* Makes the guest write when the commit has begun, and waits until it has. Adding the listener
 * makes a commit as well, before the guest runs: that one is skipped. */
static void let_it_write(lunik_listener *l)
{
    if (lunik_machine_state(m) != LUNIK_STATE_RUNNING)
        return;
    ram->host[GO] = 1;
    wait_undelivered();
}

static void test_open_commit(void)
{
    lunik_listener listener = {.name = "early", .begin = let_it_write};
    uint8_t code[sizeof(wait_go) + sizeof(hundred)];
    lunik_region *dev;
    unsigned refs;

    dev = begin_with(0x200, &ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("listener", lunik_listener_add(m, &listener, &err));
    refs = dev->refs;
    memcpy(code, wait_go, sizeof(wait_go));
    memcpy(code + sizeof(wait_go), hundred, sizeof(hundred));
    start(code, sizeof(code));
    must("disable", lunik_region_set_enabled(dev, false, &err));
    check_uint("coalesced: made while it is committed, delivered with it", written, 100);
    check_uint("coalesced: to a device that nothing keeps then", dev->refs, refs);
    lunik_listener_del(&listener);
    drop(dev);
    end();
}

static bool was_there;

static lunik_access on_careful_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    lunik_section s;

    was_there = lunik_space_find(m->memory_space, DEVICE, &s) && s.region->opaque == opaque;
    return on_write(opaque, offset, size, value);
}

static const lunik_io_ops careful_ops = {.write = on_careful_write};

static int disable(lunik_region *r)
{
    return lunik_region_set_enabled(r, false, &err);
}

static int take_out(lunik_region *r)
{
    return lunik_region_del(r, &err);
}

static int uncoalesce(lunik_region *r)
{
    return lunik_region_uncoalesce(r, &err);
}

static void test_end(const char *name, int (*change)(lunik_region *r))
{
    lunik_region *dev;

    dev = begin_with(0x200, &careful_ops);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred, sizeof(hundred));
    wait_undelivered();
    check_uint("coalesced: still in the ring", written, 0);
    must(name, change(dev));
    check_uint(name, written, 100);
    check_true("coalesced: while the device was there", was_there);
    drop(dev);
    end();
}

static unsigned pieces;
static uint8_t received[4];

static lunik_access on_piece(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    pieces++;
    for (unsigned i = 0; i < size; i++)
        if (offset + i - 0xffd < sizeof(received))
            received[offset + i - 0xffd] = (uint8_t)(value >> (8 * i));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops piece_ops = {
    .write = on_piece, .valid = {1, 8, true}, .impl = {1, 8, true}};

/* KVM splits a write at the border of pages: parts of it may be of sizes that no access has. */
static void test_pieces(bool coalesced)
{
    static const uint8_t want[] = {0x44, 0x33, 0x22, 0x11};
    lunik_region *dev;

    dev = begin_with(0x2000, &piece_ops);
    if (coalesced)
        must("coalesce", lunik_region_coalesce(dev, 0, 0x2000, &err));
    pieces = 0;
    memset(received, 0, sizeof(received));
    start(across, sizeof(across));
    wait_word(DONE, 1);
    must("pause", lunik_machine_pause(m, &err));
    check_true("pieces: all of them arrive", pieces >= 2 && !memcmp(received, want, sizeof(want)));
    drop(dev);
    end();
}

static void test_ports(void)
{
    lunik_region *dev;

    begin();
    dev = add_to(m->io_space, PORT, make("dev", 4, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 4, &err));
    start(hundred_out, sizeof(hundred_out));
    wait_word(DONE, 1);
    check_uint("coalesced: ports do not exit", exits_for_io(), 0);
    must("pause", lunik_machine_pause(m, &err));
    check_uint("coalesced: delivered when the machine stops", written, 100);
    check_uint("coalesced: ports in order", misplaced, 0);
    drop(dev);
    end();
}

/* Two devices take turns at the same place while the guest writes: each write arrives once. */
static void test_turns(const char *name, const lunik_io_ops *io)
{
    lunik_region *a, *b;
    uint32_t count;
    int turns;

    begin();
    a = add_to(m->memory_space, DEVICE, make("a", 4, io), 1);
    b = add_to(m->memory_space, DEVICE, make("b", 4, io), 2);
    must("coalesce", lunik_region_coalesce(a, 0, 4, &err));
    must("coalesce", lunik_region_coalesce(b, 0, 4, &err));
    start(for_ever, sizeof(for_ever));
    for (turns = 0; turns < SWAPS; turns++) {
        must("swap", lunik_region_set_priority(b, turns % 2 ? 2 : 0, &err));
        if (turns % 8 == 0)
            lunik_run_timeout(rt, 1);
    }
    wait_word(DONE, 1000);
    must("pause", lunik_machine_pause(m, &err));
    count = guest_word(ram, DONE);
    check_true(name, (written == count || written == count + 1) && !misplaced);
    printf("# %d turns, %u of %u writes, %u misplaced, %" PRIu64 " exits\n", turns, written, count,
           misplaced, exits_for_io());
    /* a lockless one gets exits while the listener takes its turn */
    if (!io->lockless)
        check_true("coalesced: most of them without an exit", exits_for_io() < count / 2 + SWAPS);
    drop(a);
    drop(b);
    end();
}

int main(void)
{
    if (!check_kvm("kvm coalesced"))
        return 0;
    new_runtime();
    test_read();
    test_looks();
    test_looks_at_ram("coalesced: delivered before RAM is mapped", look_by_map);
    test_looks_at_nothing();
    test_looks_at_ram("coalesced: and before it is searched", look_by_search);
    test_move();
    test_open_transaction();
    test_open_commit();
    test_end("coalesced: delivered before the region is disabled", disable);
    test_end("coalesced: before it is taken out", take_out);
    test_end("coalesced: before it is coalesced no more", uncoalesce);
    test_pieces(false);
    test_pieces(true);
    test_ports();
    test_turns("coalesced: once and in order, whoever's turn it is", &ops);
    test_turns("coalesced: the same without the lock", &lockless_ops);
    lunik_runtime_free(rt);
    return check_result();
}
