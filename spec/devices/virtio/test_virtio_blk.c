/*
 * test_virtio_blk.c: the block device as a driver sees it: random requests next to a copy of the
 * disk in memory, requests that are wrong or hostile, configuration, resizing, resets, saved state;
 * on the loop's thread and on an iothread.
 *
 * usage: test_virtio_blk [SEED]
 */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "random.h"
#include "blk_driver.h"

enum { AT = PCI_DEVFN(5, 0), DISK = 256 << 10, SECTORS = DISK / 512, STEPS = 300 };
enum { SLOT_SECTORS = SECTORS / BD_SLOTS };

static lunik_error err;
static struct rig rig;
static struct vp d;
static lunik_object *device, *drive;
static char path[64];
static int disk_fd;
static uint8_t model[DISK];

/* ---- the machine ---------------------------------------------------------------------------- */

static void add_disk(const char *folder, bool readonly, const char *aio)
{
    const lunik_field props[] = {
        LUNIK_FIELD_STRING("id", "disk"), LUNIK_FIELD_STRING("filename", path),
        LUNIK_FIELD_BOOL("readonly", readonly), LUNIK_FIELD_STRING("aio", aio)};

    snprintf(path, sizeof(path), "%s/lunik-blk-XXXXXX", folder);
    disk_fd = mkstemp(path);
    must("file", disk_fd < 0 || ftruncate(disk_fd, DISK) ? -1 : 0, &err);
    must("disk", lunik_object_add(rig.m, "blockdev-file", props, 4, &drive, &err), &err);
}

static void *ram_of(lunik_machine *m)
{
    lunik_object *o = lunik_object_find(m, "ram");

    return lunik_ram_host(lunik_memory_backend_iface(o)->ram(o));
}

/* options: "iothread", "readonly", "through" (no write cache), "disk" (not in memory), "queues". */
static void begin(const char *options, const char *aio)
{
    lunik_field props[10] = {LUNIK_FIELD_STRING("id", "vda"),
                             LUNIK_FIELD_STRING("bus", "host"),
                             LUNIK_FIELD_STRING("addr", "5"),
                             LUNIK_FIELD_STRING("drive", "disk"),
                             LUNIK_FIELD_STRING("serial", "0123456789abcdefghij"),
                             LUNIK_FIELD_BOOL("write-cache", !strstr(options, "through"))};
    const lunik_field thread[] = {LUNIK_FIELD_STRING("id", "io")};
    unsigned count = 6;

    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    add_disk(strstr(options, "disk") ? "/var/tmp" : "/dev/shm", strstr(options, "readonly"), aio);
    if (strstr(options, "iothread")) {
        must("iothread", lunik_object_add(rig.m, "iothread", thread, 1, NULL, &err), &err);
        props[count++] = LUNIK_FIELD_STRING("iothread", "io");
    }
    if (strstr(options, "queues"))
        props[count++] = LUNIK_FIELD_UINT("num-queues", 4);
    must("device", lunik_device_add(rig.m, "virtio-blk-pci", props, count, &device, &err), &err);
    vp_memory(&rig);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    bd_begin(&d, ram_of(rig.m),
             BD_FEATURES & ~(strstr(options, "readonly") ? UINT64_C(0x6000) : 0) &
                 ~(strstr(options, "queues") ? 0 : UINT64_C(0x1000)) &
                 ~(strstr(options, "readonly") ? 0 : UINT64_C(0x20)));
    memset(model, 0, DISK);
}

static void end(void)
{
    rig_close(&rig);
    close(disk_fd);
    unlink(path);
}

static uint64_t number(const char *property)
{
    lunik_value value = {.kind = LUNIK_NIL};

    must(property, lunik_object_get(drive, property, &value, &err), &err);
    return value.uint;
}

/* ---- random requests ------------------------------------------------------------------------ */

/* Each slot has its own stretch of the disk. */
static void prepare_any(unsigned slot)
{
    static const uint32_t types[] = {BD_IN,  BD_IN,    BD_OUT,    BD_OUT,
                                     BD_OUT, BD_FLUSH, BD_GET_ID, BD_ZEROES};
    uint32_t type = types[chance(8)], count = 1 + chance(BD_DATA / 512);
    uint64_t sector = slot * SLOT_SECTORS + chance(SLOT_SECTORS - BD_DATA / 512);

    switch (type) {
    case BD_IN:
        bd_prepare(slot, type, sector, 0, count * 512);
        break;
    case BD_OUT:
        bd_prepare(slot, type, sector, count * 512, 0);
        for (unsigned i = 0; i < count * 512; i++)
            bd_out(slot)[16 + i] = (uint8_t)chance(256);
        break;
    case BD_ZEROES:
        bd_prepare(slot, type, 0, 16, 0);
        bd.slots[slot].sector = sector;
        memcpy(bd_out(slot) + 16, &sector, 8);
        memcpy(bd_out(slot) + 24, &count, 4);
        memcpy(bd_out(slot) + 28, &(uint32_t){chance(2)}, 4);
        break;
    default:
        bd_prepare(slot, type, 0, 0, type == BD_GET_ID ? 20 : 0);
    }
}

/* Whether a request that has come back has done what it says. */
static bool holds(unsigned slot, uint32_t written)
{
    const struct bd_slot *s = &bd.slots[slot];
    uint8_t *at = model + s->sector * 512;
    uint32_t count;

    if (bd_status(slot) != BD_OK || written != s->in)
        return false;
    switch (s->type) {
    case BD_IN:
        return !memcmp(at, bd_in(slot), s->in - 1);
    case BD_OUT:
        memcpy(at, bd_out(slot) + 16, s->out - 16);
        return true;
    case BD_ZEROES:
        memcpy(&count, bd_out(slot) + 24, 4);
        memset(at, 0, count * 512);
        return true;
    case BD_GET_ID:
        return !memcmp(bd_in(slot), "0123456789abcdefghij", 20);
    default:
        return true;
    }
}

static unsigned reap_all(void)
{
    unsigned wrong = 0;
    uint32_t written;
    int slot;

    while ((slot = bd_reap(&written)) >= 0)
        wrong += !holds((unsigned)slot, written);
    return wrong;
}

static bool any_busy(void)
{
    bool busy = false;

    for (unsigned i = 0; i < BD_SLOTS; i++)
        busy = busy || bd.slots[i].busy;
    return busy;
}

static unsigned wait_for_all(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < 5000 && any_busy(); i++) {
        wrong += reap_all();
        if (any_busy())
            lunik_run_timeout(rig.rt, 1);
    }
    return wrong + any_busy();
}

/* At times the machine is paused under way, which drains the device. */
static void step(unsigned *wrong)
{
    for (unsigned n = chance(BD_SLOTS); n; n--) {
        unsigned slot = chance(BD_SLOTS);

        if (!bd.slots[slot].busy) {
            prepare_any(slot);
            bd_send(slot);
        }
    }
    vp_kick(&d, 0);
    lunik_run_timeout(rig.rt, 0);
    *wrong += reap_all();
    if (!chance(8)) {
        must("pause", lunik_machine_pause(rig.m, &err), &err);
        must("resume", lunik_machine_start(rig.m, &err), &err);
    }
    if (!chance(4))
        *wrong += wait_for_all();
}

static void test_random(const char *options, const char *aio)
{
    static uint8_t content[DISK];
    unsigned wrong = 0;

    begin(options, aio);
    for (unsigned i = 0; i < STEPS && !wrong; i++)
        step(&wrong);
    wrong += wait_for_all();
    check_uint(options, wrong, 0);
    check_uint(aio, vp_status(&d), VP_READY);
    check_true("the file",
               pread(disk_fd, content, DISK, 0) == DISK && !memcmp(content, model, DISK));
    check_true("counted", number("read-operations") && number("write-bytes") && !number("errors"));
    end();
}

/* ---- wrong requests ------------------------------------------------------------------------- */

static void test_wrong(void)
{
    begin("", "auto");
    check_int("read", bd_do(BD_IN, SECTORS - 1, 0, 512), BD_OK);
    check_int("read: beyond the end", bd_do(BD_IN, SECTORS - 1, 0, 1024), BD_IOERR);
    check_int("read: far beyond", bd_do(BD_IN, UINT64_MAX, 0, 512), BD_IOERR);
    check_int("read: where bytes wrap", bd_do(BD_IN, UINT64_C(1) << 55, 0, 512), BD_IOERR);
    check_int("read: no whole sector", bd_do(BD_IN, 0, 0, 100), BD_IOERR);
    check_int("read: nothing", bd_do(BD_IN, 0, 0, 0), BD_OK);
    check_int("write: beyond the end", bd_do(BD_OUT, SECTORS, 512, 0), BD_IOERR);
    check_int("write: no whole sector", bd_do(BD_OUT, 0, 513, 0), BD_IOERR);
    check_int("unknown", bd_do(77, 0, 0, 0), BD_UNSUPP);
    check_int("secure erase", bd_do(14, 0, 16, 0), BD_UNSUPP);
    check_int("flush", bd_do(BD_FLUSH, 5, 0, 0), BD_OK);
    check_int("a short identity", bd_do(BD_GET_ID, 0, 0, 4), BD_OK);
    check_true("is cut off", !memcmp(bd_in(0), "0123", 4));
    check_int("discard", bd_space(BD_DISCARD, 8, 8, 0), BD_OK);
    check_int("discard: flags", bd_space(BD_DISCARD, 8, 8, 1), BD_UNSUPP);
    check_int("discard: beyond", bd_space(BD_DISCARD, SECTORS - 1, 2, 0), BD_IOERR);
    check_int("discard: too much", bd_space(BD_DISCARD, 0, UINT32_MAX, 0), BD_IOERR);
    check_int("discard: nothing", bd_space(BD_DISCARD, 0, 0, 0), BD_OK);
    check_int("discard: no segment", bd_do(BD_DISCARD, 0, 15, 0), BD_IOERR);
    check_int("discard: two segments", bd_do(BD_DISCARD, 0, 32, 0), BD_UNSUPP);
    check_int("zeroes: flags", bd_space(BD_ZEROES, 0, 1, 3), BD_UNSUPP);
    check_int("zeroes: beyond", bd_space(BD_ZEROES, UINT64_MAX, 1, 1), BD_IOERR);
    check_uint("the device goes on", vp_status(&d), VP_READY);
    check_uint("it never asked the file", number("errors"), 0);
    end();
    begin("readonly", "auto");
    check_true("readonly is offered", vp_offered(&d) & 0x20);
    check_true("and no discard", !(vp_offered(&d) & 0x6000));
    check_int("readonly: write", bd_do(BD_OUT, 0, 512, 0), BD_IOERR);
    check_int("readonly: zeroes", bd_space(BD_ZEROES, 0, 1, 0), BD_IOERR);
    check_int("readonly: read", bd_do(BD_IN, 0, 0, 512), BD_OK);
    check_int("readonly: flush", bd_do(BD_FLUSH, 0, 0, 0), BD_OK);
    end();
}

/* What breaks the queue; parts in bytes. */
static void check_broken(const char *name, uint32_t out_size, uint32_t in_size)
{
    begin("", "auto");
    bd_prepare(0, BD_IN, 0, 0, 512);
    bd.slots[0].out = out_size;
    bd.slots[0].in = in_size;
    check_int(name, bd_wait(), -1);
    check_true("  needs a reset", vp_wait(&d, 0x14, 1, VP_READY | 64));
    check_true("  is reset", vp_reset(&d));
    bd_begin(&d, bd.ram, BD_FEATURES & ~UINT64_C(0x1020));
    check_int("  goes on", bd_do(BD_IN, 0, 0, 512), BD_OK);
    end();
}

static void test_broken(void)
{
    check_broken("no header", 0, 513);
    check_broken("a short header", 15, 513);
    check_broken("no status", 16 + 512, 0);
}

/* ---- configuration -------------------------------------------------------------------------- */

static void test_config(void)
{
    begin("queues", "auto");
    check_uint("device", vp_config(&d, 0, 4), 0x10421af4);
    check_uint("class", vp_config(&d, LUNIK_PCI_REVISION, 4), 0x01000001);
    check_uint("capacity", vp_get(&d, 4, 0, 8), SECTORS);
    check_uint("seg_max", vp_get(&d, 4, 12, 4), 254);
    check_uint("heads, sectors", vp_get(&d, 4, 18, 2), 63 << 8 | 16);
    check_uint("blk_size", vp_get(&d, 4, 20, 4), 512);
    check_uint("physical blocks", vp_get(&d, 4, 24, 1), 3);
    check_uint("writeback", vp_get(&d, 4, 32, 1), 1);
    check_uint("queues", vp_get(&d, 4, 34, 2), 4);
    check_uint("max_discard_sectors", vp_get(&d, 4, 36, 4), 0x3fffff);
    check_uint("max_discard_seg", vp_get(&d, 4, 40, 4), 1);
    check_uint("may unmap", vp_get(&d, 4, 56, 1), 1);
    vp_set(&d, 4, 0, 8, 5);
    check_uint("capacity is not writable", vp_get(&d, 4, 0, 8), SECTORS);
    vp_set(&d, 4, 32, 1, 0);
    check_uint("writeback is", vp_get(&d, 4, 32, 1), 0);
    check_int("write through", bd_do(BD_OUT, 0, 512, 0), BD_OK);
    bd_begin(&d, bd.ram, BD_FEATURES & ~UINT64_C(0x20));
    check_uint("until a reset", vp_get(&d, 4, 32, 1), 1);
    bd_begin(&d, bd.ram, BD_FEATURES & ~UINT64_C(0xa20));
    check_uint("a driver that can't flush", vp_get(&d, 4, 32, 1), 0);
    vp_set(&d, 4, 32, 1, 1);
    check_uint("nor change it", vp_get(&d, 4, 32, 1), 0);
    end();
}

static void test_resize(void)
{
    unsigned generation;

    begin("", "auto");
    generation = (unsigned)vp_get(&d, 1, 0x15, 1);
    must("grow", lunik_object_set(drive, "size", &LUNIK_FIELD_UINT("", 2 * DISK).value, &err),
         &err);
    check_uint("grown", vp_get(&d, 4, 0, 8), 2 * SECTORS);
    check_true("another generation", vp_get(&d, 1, 0x15, 1) != generation);
    check_true("an interrupt", vp_pin(&d));
    check_uint("of the configuration", vp_get(&d, 3, 0, 1), 2);
    check_int("what is new", bd_do(BD_IN, 2 * SECTORS - 1, 0, 512), BD_OK);
    must("shrink", lunik_object_set(drive, "size", &LUNIK_FIELD_UINT("", DISK).value, &err), &err);
    check_int("what is gone", bd_do(BD_IN, SECTORS, 0, 512), BD_IOERR);
    end();
}

/* ---- resets and state ----------------------------------------------------------------------- */

static void test_reset(const char *options)
{
    begin(options, "threads");
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned slot = 0; slot < BD_SLOTS; slot++) {
            bd_prepare(slot, BD_OUT, slot, 512, 0);
            bd_send(slot);
        }
        vp_kick(&d, 0);
        lunik_run_timeout(rig.rt, 0);
        if (i % 4 == 3)
            must("reset", lunik_machine_reset(rig.m, &err), &err);
        else
            check_true("reset with requests in flight", vp_reset(&d));
        vp_probe(&d, &rig, AT);
        bd_begin(&d, bd.ram, BD_FEATURES & ~UINT64_C(0x1020));
    }
    check_int("it goes on", bd_do(BD_IN, 0, 0, 512), BD_OK);
    end();
}

static void test_state(void)
{
    lunik_state_buffer saved = {0};

    begin("", "auto");
    vp_set(&d, 4, 32, 1, 0);
    memset(bd_out(0) + 16, 0x5a, 512);
    check_int("write", bd_do(BD_OUT, 3, 512, 0), BD_OK);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(device, &saved, &err), &err);
    must("resume", lunik_machine_start(rig.m, &err), &err);
    check_true("reset", vp_reset(&d));
    check_uint("the cache is on again", vp_get(&d, 4, 32, 1), 1);
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("load", lunik_object_load(device, saved.data, saved.size, &err), &err);
    must("resume", lunik_machine_start(rig.m, &err), &err);
    check_uint("state: ready", vp_status(&d), VP_READY);
    check_uint("state: the cache is off", vp_get(&d, 4, 32, 1), 0);
    check_int("state: it goes on", bd_do(BD_IN, 3, 0, 512), BD_OK);
    check_uint("state: with the disk", bd_in(0)[511], 0x5a);
    lunik_state_buffer_free(&saved);
    end();
}

int main(int argc, char **argv)
{
    random_state = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    printf("-- seed %" PRIu64 "\n", random_state);
    test_wrong();
    test_broken();
    test_config();
    test_resize();
    test_state();
    test_random("", "auto");
    test_random("iothread", "auto");
    test_random("iothread, through", "threads");
    test_random("iothread, disk", "io_uring");
    test_random("disk", "auto");
    test_reset("");
    test_reset("iothread");
    return check_result();
}
