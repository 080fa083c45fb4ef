/*
 * test_kvm_dirty.c: nothing that a running guest writes is lost, in any of KVM's ways to log.
 *
 * The guest increments a word in one of 64 pages after the other, in random order. Two clients keep
 * a copy of these pages each, made up to date after every sync with nothing but the pages that were
 * dirty, while the slots are split, joined and moved and a third client comes and goes. When the
 * guest stops, the copies have to be equal to the memory.
 */
#include "kvm/kvm.h"
#include "kvm/kvm_memory.h"
#include "kvm/vcpu_internal.h"
#include "kvm_rig.h"

enum { PAGE = LUNIK_DIRTY_PAGE, PAGES = 64, DATA = 0x10000, RAM_SIZE = 0x60000 };
enum { ROUNDS = 150, WINDOW = 0x20000 };

struct mode {
    const char *name;
    unsigned ring;
    lunik_dirty_log log;
};

static lunik_ram *ram;
static lunik_region *base, *window;
static uint8_t copies[2][PAGES * PAGE];
static uint64_t seen[2];

static const lunik_dirty_client clients[] = {LUNIK_DIRTY_MIGRATION, LUNIK_DIRTY_DISPLAY};

static void boot(const struct mode *mode)
{
    static const uint8_t code[] = {
        0x69, 0xdb, 0x55, 0x62,       /* again: imul bx, bx, 25173 */
        0x81, 0xc3, 0x19, 0x36,       /* add bx, 13849 */
        0x89, 0xd8,                   /* mov ax, bx */
        0x25, 0x00, 0x3f,             /* and ax, 0x3f00 */
        0x05, 0x00, 0x10,             /* add ax, 0x1000 */
        0x8e, 0xc0,                   /* mov es, ax */
        0x26, 0xff, 0x06, 0x08, 0x00, /* inc word [es:8] */
        0xeb, 0xe7,                   /* jmp again */
    };
    lunik_machine_config config = {.name = mode->name,
                                   .accel = LUNIK_ACCEL_KVM,
                                   .cpus = 1,
                                   .dirty_ring = mode->ring,
                                   .dirty_log = mode->log};

    must("machine", lunik_machine_new(rt, &config, &m, &err));
    ram = new_ram("ram", RAM_SIZE);
    base = show_ram("ram", ram, 0, RAM_SIZE, 0, 0);
    window = show_ram("window", ram, WINDOW, 0x8000, WINDOW, 1);
    must("window", lunik_region_set_enabled(window, false, &err));
    add_reset_vector();
    memcpy(base->host + CODE, code, sizeof(code));
}

static void let_it_run(unsigned us)
{
    lunik_unlock(rt);
    usleep(us);
    lunik_lock(rt);
}

static void end(void)
{
    lunik_machine_close(m);
    lunik_region_unref(base);
    lunik_region_unref(window);
    lunik_ram_unref(ram);
}

/* Brings the client's copy up to date. */
static void refresh(unsigned i)
{
    uint64_t bits;

    seen[i] += lunik_dirty_test_and_clear(m, clients[i], ram, DATA, PAGES * PAGE, &bits);
    for (unsigned page = 0; page < PAGES; page++)
        if (bits >> page & 1)
            memcpy(copies[i] + page * PAGE, (uint8_t *)lunik_ram_host(ram) + DATA + page * PAGE,
                   PAGE);
}

static unsigned stale(unsigned i)
{
    unsigned count = 0;

    for (unsigned page = 0; page < PAGES; page++)
        count += memcmp(copies[i] + page * PAGE,
                        (uint8_t *)lunik_ram_host(ram) + DATA + page * PAGE, PAGE) != 0;
    return count;
}

static bool both_copied(void)
{
    return seen[0] > 2 * PAGES && seen[1] > 2 * PAGES;
}

/* Until the guest has written something else to that many pages than the first copy has. */
static void run_until_stale(unsigned pages)
{
    for (unsigned tries = 0; tries < 20000 && stale(0) < pages; tries++)
        let_it_run(500);
}

static void copy_all(void)
{
    memcpy(copies[0], (uint8_t *)lunik_ram_host(ram) + DATA, sizeof(copies[0]));
}

/* What else happens meanwhile. */
static void disturb(unsigned round)
{
    switch (round % 6) {
    case 0:
    case 3:
        must("toggle", lunik_region_set_enabled(window, !lunik_region_enabled(window), &err));
        break;
    case 1:
        must("move", lunik_region_set_offset(window, WINDOW, &err));
        must("third", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
        break;
    case 4:
        must("third", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
        break;
    default:
        lunik_space_store(m->memory_space, DATA + (round * 7 % PAGES) * PAGE + 0x100, 8, round);
        break;
    }
}

/* How many of the pages that the guest writes to are dirty. KVM may report others: it maps a page
 * that is read or executed for the first time for writing as well, and counts it as written. */
static uint64_t dirty_pages(lunik_dirty_client client)
{
    return lunik_dirty_count(ram, client, DATA, PAGES * PAGE);
}

static void check_mode(const struct mode *mode, const char *what, uint64_t got, uint64_t want)
{
    char name[128];

    snprintf(name, sizeof(name), "%s: %s", mode->name, what);
    check_uint(name, got, want);
}

static void test_mode(const struct mode *mode)
{
    lunik_dirty_scope block;

    boot(mode);
    block = (lunik_dirty_scope){.ram = ram};
    must("start", lunik_machine_start(m, &err));
    let_it_run(20000);
    must("machine-wide", lunik_dirty_start(m, clients[0], NULL, &err));
    copy_all();
    let_it_run(3000);
    must("block", lunik_dirty_start(m, clients[1], &block, &err));
    memcpy(copies[1], (uint8_t *)lunik_ram_host(ram) + DATA, sizeof(copies[1]));
    seen[0] = seen[1] = 0;
    /* More rounds where the host leaves the guest little time. */
    for (unsigned round = 0; round < ROUNDS || (!both_copied() && round < 50 * ROUNDS); round++) {
        let_it_run(500);
        disturb(round);
        must("sync", lunik_dirty_sync(m, &err));
        refresh(round % 2);
        if (round % 5 == 0)
            refresh(1 - round % 2);
    }
    for (unsigned tries = 0; tries < 1000 && !stale(0) && !stale(1); tries++)
        let_it_run(1000);
    must("pause", lunik_machine_pause(m, &err));
    check_mode(mode, "the guest still wrote", stale(0) > 0 || stale(1) > 0, true);
    must("sync", lunik_dirty_sync(m, &err));
    refresh(0);
    refresh(1);
    check_mode(mode, "the first client's copy lacks no page", stale(0), 0);
    check_mode(mode, "the second client's copy lacks no page", stale(1), 0);
    check_mode(mode, "there was something to copy", both_copied(), true);
    must("sync", lunik_dirty_sync(m, &err));
    check_mode(mode, "a guest that stands still dirties nothing", dirty_pages(clients[0]), 0);
    end();
}

static void run_until_all_written(void)
{
    for (unsigned tries = 0; tries < 2000; tries++) {
        let_it_run(5000);
        must("sync", lunik_dirty_sync(m, &err));
        if (dirty_pages(LUNIK_DIRTY_MIGRATION) == PAGES)
            return;
    }
}

/* Writes before a client's start and after its stop are not its business. */
static void test_exact(const struct mode *mode)
{
    boot(mode);
    must("start", lunik_machine_start(m, &err));
    must("first", lunik_dirty_start(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    run_until_all_written();
    let_it_run(5000); /* so that there are dirty pages that have not been read */
    must("pause", lunik_machine_pause(m, &err));
    must("second", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    must("sync", lunik_dirty_sync(m, &err));
    check_mode(mode, "a late client is not told of earlier writes",
               lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, RAM_SIZE), 0);
    check_mode(mode, "the earlier client is", dirty_pages(LUNIK_DIRTY_MIGRATION), PAGES);
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    must("stop", lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err));
    must("again", lunik_machine_start(m, &err));
    let_it_run(20000);
    must("pause", lunik_machine_pause(m, &err));
    must("start", lunik_dirty_start(m, LUNIK_DIRTY_MIGRATION, NULL, &err));
    must("sync", lunik_dirty_sync(m, &err));
    check_mode(mode, "nothing is left of the time between stop and start",
               lunik_dirty_count(ram, LUNIK_DIRTY_MIGRATION, 0, RAM_SIZE), 0);
    end();
}

/* Has KVM refuse what it is asked about the slots, or not any more. */
static void spoil_slots(void)
{
    struct slot_list *l = &m->kvm->memory->slots;

    for (size_t i = 0; i < l->count; i++)
        l->items[i].id ^= 0x8000;
}

/* One client clears what the guest has written to again since the other did, unseen by either. */
static void test_clears(const struct mode *mode, bool refused)
{
    boot(mode);
    for (unsigned i = 0; i < 2; i++)
        must("client", lunik_dirty_start(m, clients[i], NULL, &err));
    must("start", lunik_machine_start(m, &err));
    run_until_all_written();
    must("pause", lunik_machine_pause(m, &err));
    must("sync", lunik_dirty_sync(m, &err));
    if (refused)
        spoil_slots();
    refresh(0);
    if (refused)
        spoil_slots();
    must("resume", lunik_machine_start(m, &err));
    run_until_stale(PAGES / 2);
    must("pause", lunik_machine_pause(m, &err));
    refresh(1);
    check_mode(mode, "the other client's copy lacks no page", stale(1), 0);
    check_mode(mode, "the guest wrote again", stale(0) > 0, true);
    must("sync", lunik_dirty_sync(m, &err));
    refresh(0);
    check_mode(mode,
               refused ? "a clear that KVM refused costs no write"
                       : "a clear takes nothing from the other client",
               stale(0), 0);
    end();
}

static void test_refused_sync(const struct mode *mode)
{
    boot(mode);
    must("client", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    spoil_slots();
    must("sync", lunik_dirty_sync(m, &err));
    spoil_slots();
    check_mode(mode, "what KVM does not tell may all be dirty",
               lunik_dirty_count(ram, LUNIK_DIRTY_USER, 0, RAM_SIZE), RAM_SIZE / PAGE);
    end();
}

/* Memory that is taken out leaves nothing behind, and nothing of what was written to it is lost. */
static void test_removal(const struct mode *mode)
{
    lunik_region *low, *high;
    unsigned lost = 0;

    boot(mode);
    must("base", lunik_region_del(base, &err));
    low = show_ram("low", ram, 0, WINDOW, 0, 0);
    high = show_ram("high", ram, WINDOW + 0x8000, RAM_SIZE - WINDOW - 0x8000, WINDOW + 0x8000, 0);
    must("window", lunik_region_set_enabled(window, true, &err));
    must("client", lunik_dirty_start(m, clients[0], NULL, &err));
    must("start", lunik_machine_start(m, &err));
    copy_all();
    for (unsigned round = 0; round < ROUNDS; round++) {
        let_it_run(300);
        must("remove", lunik_region_set_enabled(window, false, &err));
        refresh(0);
        lost += memcmp(copies[0] + (WINDOW - DATA), (uint8_t *)lunik_ram_host(ram) + WINDOW,
                       0x8000) != 0;
        must("return", lunik_region_set_enabled(window, true, &err));
    }
    check_mode(mode, "a block that goes leaves no write behind", lost, 0);
    lunik_region_unref(low);
    lunik_region_unref(high);
    end();
}

/* Only this process writes to ROM, so KVM is not asked. */
static void test_rom(const struct mode *mode)
{
    lunik_section rom;

    boot(mode);
    must("client", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    check_true("there is a ROM", lunik_space_find(m->memory_space, 0xfffff000, &rom));
    check_mode(mode, "which KVM does not log",
               kvm_slot_at(m->kvm->memory, rom.address, rom.address)->clients, 0);
    lunik_dirty_mark(rom.region, 0, 1);
    must("sync", lunik_dirty_sync(m, &err));
    check_mode(mode, "a page of ROM is marked and cleared",
               lunik_dirty_test_and_clear(m, LUNIK_DIRTY_USER, lunik_region_ram(rom.region), 0,
                                          PAGE, NULL),
               1);
    end();
}

/* While it is in the guest a vCPU may hold back what it has written. */
static void test_ring_sync(const struct mode *mode)
{
    enum { SYNCS = 5 };
    lunik_vcpu_stats stats;

    boot(mode);
    must("client", lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err));
    must("start", lunik_machine_start(m, &err));
    for (unsigned i = 0; i < SYNCS; i++) {
        copy_all();
        run_until_stale(1);
        must("sync", lunik_dirty_sync(m, &err));
    }
    must("pause", lunik_machine_pause(m, &err));
    lunik_vcpu_get_stats(lunik_vcpu_get(m, 0), &stats);
    check_mode(mode, "each sync takes the vCPUs out of the guest", stats.interrupted >= SYNCS, 1);
    end();
}

static void test_bad_config(void)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_KVM, .cpus = 1, .dirty_ring = 5000};

    check_int("a ring of 5000", lunik_machine_new(rt, &config, &m, &err), LUNIK_E_INVALID);
    check_contains("says what is wanted", err.message,
                   "dirty-ring: '5000' is not a number of entries (want a power of two from 1024");
}

/* ---- a kernel that is stuck ----------------------------------------------------------------- */

static _Atomic bool stuck;
static _Atomic unsigned in_vain;
static bool told;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* The library's calls come here. */
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    if (!stuck || request != KVM_RUN)
        return __real_ioctl(fd, request, arg);
    in_vain++;
    m->vcpus->vcpu[0].run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
    return 0;
}

static void on_event(void *opaque, const lunik_event *event)
{
    if (strcmp(event->name, "crashed"))
        return;
    for (size_t i = 0; i < event->count; i++)
        if (!strcmp(event->fields[i].name, "reason"))
            told = !strcmp(event->fields[i].value.string, "dirty-ring-full");
}

static lunik_event_sub events = {.fn = on_event};

/* A ring that is said to be full, and is empty, ends the run in the end. */
static void test_stuck(const struct mode *mode)
{
    boot(mode);
    lunik_event_subscribe(m, &events);
    stuck = true;
    must("start", lunik_machine_start(m, &err));
    for (int i = 0; i < 20000 && !told; i++)
        lunik_run_timeout(rt, 1);
    stuck = false;
    check_true("stuck: the machine crashes", lunik_machine_state(m) == LUNIK_STATE_CRASHED && told);
    check_true("stuck: not at once", in_vain >= 100);
    end();
}

int main(void)
{
    static const struct mode modes[] = {{"bitmap", 0, LUNIK_DIRTY_LOG_BITMAP},
                                        {"manual", 0, LUNIK_DIRTY_LOG_MANUAL},
                                        {"ring", 65536, LUNIK_DIRTY_LOG_AUTO}};

    if (!check_kvm("kvm dirty"))
        return 0;
    new_runtime();
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        test_exact(&modes[i]);
        test_mode(&modes[i]);
        test_clears(&modes[i], false);
        test_removal(&modes[i]);
        test_rom(&modes[i]);
        if (modes[i].ring) {
            test_ring_sync(&modes[i]);
            test_stuck(&modes[i]);
        } else {
            test_clears(&modes[i], true);
            test_refused_sync(&modes[i]);
        }
    }
    test_bad_config();
    lunik_runtime_free(rt);
    return check_result();
}
