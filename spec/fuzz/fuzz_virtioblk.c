/*
 * fuzz_virtioblk.c: requests to a block device, as hostile as they come: types, sectors, sizes of
 * both parts, cuts into descriptors. What reaches the back end is within the disk and the request's
 * memory; every request comes back, or the device needs a reset; what a read returns is on the
 * disk. -max_len=256 -runs=10000
 */
#include "fuzz.h"

#include "devices/block/block.h"
#include "pci_rig.h"
#include "virtio_pci_driver.h"

static unsigned chance(unsigned n)
{
    return fuzz_below(n);
}

#include "blk_driver.h"

enum { DISK = 32 << 10, AT = PCI_DEVFN(5, 0), AREA = 0x1800 };
#define FEATURES (BD_FEATURES & ~UINT64_C(0x1020))

static struct rig rig;
static struct vp d;
static uint8_t disk[DISK];

/* ---- the back end --------------------------------------------------------------------------- */

static int open_disk(lunik_object *o, const struct block_place *place, struct block_channel **out,
                     lunik_error *err)
{
    (void)o, (void)place, (void)err;
    *out = calloc(1, sizeof(**out));
    return 0;
}

static void submit_to_disk(struct block_channel *c, struct block_request *r)
{
    uint8_t *at = disk + r->offset;
    uint64_t total = 0;

    (void)c;
    if (r->op != BLOCK_FLUSH)
        fuzz_check(r->offset <= DISK && r->size <= DISK - r->offset, "%" PRIu64, r->offset);
    for (unsigned i = 0; r->op <= BLOCK_WRITE && i < r->count; i++) {
        uint8_t *base = r->iov[i].iov_base;

        fuzz_check(base >= bd.ram + BD_MEMORY &&
                       base + r->iov[i].iov_len <= bd.ram + BD_MEMORY + BD_SLOTS * BD_STRIDE,
                   "piece %u", i);
        memcpy(r->op == BLOCK_READ ? base : at, r->op == BLOCK_READ ? at : base, r->iov[i].iov_len);
        at += r->iov[i].iov_len;
        total += r->iov[i].iov_len;
    }
    fuzz_check(r->op > BLOCK_WRITE || total == r->size, "%" PRIu64 " bytes of %" PRIu64, total,
               r->size);
    if (r->op == BLOCK_WRITE_ZEROES)
        memset(at, 0, r->size);
    block_complete(r, 0);
}

static void close_disk(struct block_channel *c)
{
    free(c);
}

static int realize_disk(lunik_object *o, lunik_error *err)
{
    struct blockdev *dev = lunik_state(o);

    (void)err;
    dev->size = DISK;
    dev->unit = 512;
    return 0;
}

static const lunik_blockdev_ops disk_ops = {
    .open = open_disk, .submit = submit_to_disk, .close = close_disk};
static const lunik_iface disk_ifaces[] = {LUNIK_IFACE(blockdev, &disk_ops), {0}};
static const lunik_type disk_type = {
    .name = "blockdev-memory",
    .parent = "blockdev",
    .doc = "A disk in memory.",
    .size = sizeof(struct blockdev),
    .ifaces = disk_ifaces,
    .realize = realize_disk,
    .state = &lunik_state_none,
};

/* ---- the driver ----------------------------------------------------------------------------- */

static void open_once(void)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", "disk")};
    const lunik_field blk[] = {LUNIK_FIELD_STRING("bus", "host"), LUNIK_FIELD_STRING("addr", "5"),
                               LUNIK_FIELD_STRING("drive", "disk")};
    lunik_object *ram;
    lunik_error err;

    if (rig.rt)
        return;
    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    fuzz_must(lunik_type_add(rig.rt, &disk_type, &err), err);
    fuzz_must(lunik_object_add(rig.m, "blockdev-memory", props, 1, NULL, &err), err);
    fuzz_must(lunik_device_add(rig.m, "virtio-blk-pci", blk, 3, NULL, &err), err);
    vp_memory(&rig);
    fuzz_must(lunik_machine_start(rig.m, &err), err);
    ram = lunik_object_find(rig.m, "ram");
    bd.ram = lunik_ram_host(lunik_memory_backend_iface(ram)->ram(ram));
}

static uint32_t choose_size(void)
{
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 32, 511, 512, 513, 1024, 4096};
    unsigned which = fuzz_byte();

    return which < sizeof(sizes) / sizeof(sizes[0]) ? sizes[which]
                                                    : (uint32_t)fuzz_number(2) % AREA;
}

static void send_any(unsigned slot)
{
    static const uint8_t types[] = {BD_IN,    BD_OUT,    BD_IN,      BD_OUT,
                                    BD_FLUSH, BD_GET_ID, BD_DISCARD, BD_ZEROES};
    uint32_t type = fuzz_byte() & 7 ? types[fuzz_below(8)] : (uint32_t)fuzz_hostile();
    uint64_t sector = fuzz_byte() & 3 ? fuzz_below(DISK / 512 + 1) : fuzz_hostile();
    uint64_t segment[2] = {fuzz_hostile(), fuzz_hostile()};

    bd_prepare(slot, type, sector, 0, 0);
    memcpy(bd_out(slot) + 16, segment, sizeof(segment));
    bd.slots[slot].out = choose_size();
    bd.slots[slot].in = choose_size();
    if (bd.slots[slot].out + bd.slots[slot].in)
        bd_send(slot);
}

static bool any_busy(void)
{
    bool busy = false;

    for (unsigned i = 0; i < BD_SLOTS; i++)
        busy = busy || bd.slots[i].busy;
    return busy;
}

static void reap_all(void)
{
    uint32_t written;
    int slot;

    while ((slot = bd_reap(&written)) >= 0) {
        const struct bd_slot *s = &bd.slots[slot];

        if (!s->in || s->out < 16)
            continue; /* broke the queue */
        fuzz_check(written == s->in, "%u of %u bytes", written, s->in);
        fuzz_check(bd_status((unsigned)slot) <= BD_UNSUPP, "status %u", bd_status((unsigned)slot));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_once();
    fuzz_begin(data, size);
    vp_probe(&d, &rig, AT);
    bd_begin(&d, bd.ram, FEATURES);
    fuzz_check(vp_status(&d) == VP_READY, "status %u", vp_status(&d));
    while (fuzz_more()) {
        for (unsigned n = 1 + fuzz_below(4); n; n--) {
            unsigned slot = fuzz_below(BD_SLOTS);

            if (!bd.slots[slot].busy)
                send_any(slot);
        }
        vp_kick(&d, 0);
        for (unsigned i = 0; i < 8; i++)
            lunik_run_timeout(rig.rt, 0);
        reap_all();
        if (vp_status(&d) & 64)
            bd_begin(&d, bd.ram, FEATURES);
        fuzz_check(!any_busy(), "a request is lost");
    }
    return 0;
}
