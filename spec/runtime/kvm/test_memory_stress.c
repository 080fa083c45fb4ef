/*
 * test_memory_stress.c: vCPUs that run at full speed notice nothing of the topology changing below
 * them.
 *
 * Every vCPU runs a loop in protected mode, ring 3, that increments a counter of its own on either
 * side of a page boundary, reads both back, one of them through a second mapping, and compares them
 * with a register. The loop itself lies across that boundary. Meanwhile regions that show the same
 * memory there are enabled and disabled, moved, resized, raised and lowered, and writes to them are
 * logged and not, so that memslots in use are split, merged and replaced thousands of times. A vCPU
 * that finds a hole, or memory that it has not written to, exits, crashes, or stops counting. Only
 * commits that had to keep the vCPUs out of the guest count.
 */
#include <sys/ioctl.h>

#include "kvm/kvm.h"
#include "kvm/vcpu_internal.h"
#include "kvm_rig.h"
#include "random.h"

enum { PAGE = 0x1000, BORDER = 0x8000, BLOCK_SIZE = 0x40000, CPUS_MAX = 4 };
enum { LEFT = BORDER - 0x100, RIGHT = BORDER + 0x100, LOOP = BORDER - 20, BAD = BORDER + 0x200 };
enum { MIRROR = 0x100000, STRIP = 0x20000, STRIDE = 16 };

static lunik_ram *block;
static unsigned operations; /* on regions, in transactions that were committed */
static unsigned changes;    /* sections that listeners saw go */
/* By increasing priority; all but the strip and the flash show the block. */
static lunik_region *whole, *left, *right, *across, *mirror, *strip, *flash;
static bool logging;

/* ---- the guest ------------------------------------------------------------------------------ */

#define IMM32(value) (value) & 0xff, (value) >> 8 & 0xff, (value) >> 16 & 0xff, (value) >> 24

static const uint8_t code[] = {
    0x43,                                      /* again: inc ebx */
    0xff, 0x86, IMM32(LEFT),                   /* inc dword [esi + LEFT] */
    0xff, 0x86, IMM32(RIGHT),                  /* inc dword [esi + RIGHT] */
    0x39, 0x9e, IMM32(MIRROR + LEFT - BORDER), /* cmp [esi + MIRROR + LEFT - BORDER], ebx */
    0x75, 0x0a,                                /* jne bad */
    0x39, 0x9e, IMM32(RIGHT),                  /* cmp [esi + RIGHT], ebx */
    0x75, 0x02,                                /* jne bad */
    0xeb, 0xe1,                                /* jmp again */
    0x89, 0x9e, IMM32(BAD),                    /* bad: mov [esi + BAD], ebx */
    0xeb, 0xfe,                                /* jmp $ */
};

static void set_segment(struct kvm_segment *s, unsigned selector, unsigned type)
{
    *s = (struct kvm_segment){.selector = (uint16_t)selector,
                              .type = (uint8_t)type,
                              .limit = 0xffffffff,
                              .present = 1,
                              .dpl = 3,
                              .s = 1,
                              .db = 1,
                              .g = 1};
}

/* Every vCPU starts by itself, with its number in esi. */
static void on_reset(void *opaque)
{
    for (unsigned i = 0; i < lunik_vcpu_count(m); i++) {
        lunik_vcpu *v = lunik_vcpu_get(m, i);
        struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
        struct kvm_regs regs = {.rip = LOOP, .rsi = i * STRIDE, .rflags = 2};
        struct kvm_sregs sregs;

        ioctl(v->fd, KVM_GET_SREGS, &sregs);
        set_segment(&sregs.cs, 0x1b, 11);
        set_segment(&sregs.ds, 0x23, 3);
        sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
        sregs.cr0 |= 1;
        if (ioctl(v->fd, KVM_SET_SREGS, &sregs) || ioctl(v->fd, KVM_SET_REGS, &regs) ||
            ioctl(v->fd, KVM_SET_MP_STATE, &runnable)) {
            printf("not ok vCPU %u takes its state\n", i);
            exit(1);
        }
    }
}

static lunik_reset_sub resets = {.fn = on_reset};

static uint32_t counter(unsigned cpu, unsigned at)
{
    const uint8_t *host = lunik_ram_host(block);

    return __atomic_load_n((const uint32_t *)(host + at + cpu * STRIDE), __ATOMIC_RELAXED);
}

/* False if some vCPU does not get on. */
static bool let_all_run(void)
{
    uint32_t before[CPUS_MAX];
    unsigned count = lunik_vcpu_count(m), moved = 0;

    for (unsigned i = 0; i < count; i++)
        before[i] = counter(i, LEFT);
    for (int wait = 0;
         wait < 60000 && lunik_machine_state(m) == LUNIK_STATE_RUNNING && moved < count; wait++) {
        lunik_run_timeout(rt, 1);
        moved = 0;
        for (unsigned i = 0; i < count; i++)
            moved += counter(i, LEFT) != before[i];
    }
    return moved == count;
}

/* ---- the topology --------------------------------------------------------------------------- */

/* A window that shows the same memory at the same address, however it lies. */
static lunik_region *add_mirror(void)
{
    lunik_region_config config = {.kind = LUNIK_REGION_ALIAS,
                                  .name = "mirror",
                                  .target = whole,
                                  .offset = BORDER - PAGE,
                                  .size = PAGE};

    return add_to(m->memory_space, MIRROR - PAGE, region_of(config), 0);
}

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static lunik_region *add_flash(lunik_ram *ram)
{
    static const lunik_io_ops ops = {.write = ignore};
    lunik_region_config config = {.kind = LUNIK_REGION_ROM_DEVICE,
                                  .name = "flash",
                                  .ram = ram,
                                  .ops = &ops,
                                  .size = 2 * PAGE};

    return add_to(m->memory_space, STRIP + PAGE, region_of(config), 4);
}

static void build(void)
{
    lunik_ram *other = new_ram("other", 2 * PAGE);

    block = new_ram("block", BLOCK_SIZE);
    whole = show_ram("whole", block, 0, BLOCK_SIZE, 0, 0);
    left = show_ram("left", block, 0, BORDER, 0, 1);
    right = show_ram("right", block, BORDER, BORDER, BORDER, 1);
    across = show_ram("across", block, BORDER - PAGE, 2 * PAGE, BORDER - PAGE, 2);
    mirror = add_mirror();
    strip = show_ram("strip", other, 0, 2 * PAGE, STRIP, 3);
    flash = add_flash(other);
    lunik_ram_unref(other);
    memcpy((uint8_t *)lunik_ram_host(block) + LOOP, code, sizeof(code));
}

static void toggle(lunik_region *r)
{
    must(r->name, lunik_region_set_enabled(r, !lunik_region_enabled(r), &err));
}

static void toggle_logging(void)
{
    int (*change)(lunik_machine *, lunik_dirty_client, const lunik_dirty_scope *, lunik_error *) =
        logging ? lunik_dirty_stop : lunik_dirty_start;

    must("logging", change(m, LUNIK_DIRTY_USER, NULL, &err));
    logging = !logging;
}

static void change_something(void)
{
    unsigned n = chance(4);

    switch (chance(10)) {
    case 0:
        toggle(left);
        break;
    case 1:
        toggle(right);
        break;
    case 2:
        toggle(across);
        break;
    case 3:
        must("left", lunik_region_set_size(left, BORDER - n * PAGE, &err));
        break;
    case 4:
        must("right", lunik_region_set_size(right, (1 + n) * PAGE, &err));
        break;
    case 5:
        must("mirror", lunik_region_set_offset(mirror, MIRROR - (1 + n) * PAGE, &err));
        must("mirror", lunik_region_set_alias_offset(mirror, BORDER - (1 + n) * PAGE, &err));
        must("mirror", lunik_region_set_size(mirror, (1 + n + chance(4)) * PAGE, &err));
        break;
    case 6:
        must("strip", lunik_region_set_offset(strip, STRIP + n * PAGE, &err));
        break;
    case 7:
        must("across", lunik_region_set_priority(across, (int)n, &err));
        break;
    case 8:
        must("flash", lunik_region_set_romd(flash, n & 1, &err));
        break;
    default:
        toggle(strip);
        must("strip", lunik_region_set_readonly(strip, n & 1, &err));
        break;
    }
}

static void transaction(void)
{
    unsigned count = 1 + chance(3);

    if (!chance(32))
        toggle_logging();
    lunik_transaction_begin(m);
    for (unsigned i = 0; i < count; i++)
        change_something();
    if (chance(16)) {
        must("commit", lunik_transaction_commit(m, &err));
        operations += count;
    } else {
        lunik_transaction_abort(m);
    }
}

static void on_del(lunik_listener *l, const lunik_section *s)
{
    changes++;
}

/* ---- the test ------------------------------------------------------------------------------- */

/* Says why a vCPU crashed. */
static void on_event(void *opaque, const lunik_event *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->fields[i].value.kind == LUNIK_STRING)
            printf("# %s: %s: %s\n", e->name, e->fields[i].name, e->fields[i].value.string);
}

static lunik_event_sub events = {.fn = on_event};

static bool named(char *name, unsigned cpus, const char *what, bool ok)
{
    snprintf(name, 80, "%u vCPUs: %s", cpus, what);
    return check_true(name, ok);
}

static void check_counters(unsigned cpus)
{
    char name[80];
    lunik_vcpu_stats stats;
    uint64_t mmio = 0, rounds = 0;
    bool same = true, good = true;

    for (unsigned i = 0; i < cpus; i++) {
        uint32_t a = counter(i, LEFT), b = counter(i, RIGHT);

        lunik_vcpu_get_stats(lunik_vcpu_get(m, i), &stats);
        mmio += stats.mmio;
        rounds += a;
        same = same && (a == b || a == b + 1);
        good = good && !counter(i, BAD);
    }
    printf("# %u vCPUs: %" PRIu64
           " commits held them, %u operations, %u sections replaced, %" PRIu64 " rounds\n",
           cpus, holds(), operations, changes, rounds);
    named(name, cpus, "no write was lost", same && good);
    named(name, cpus, "no access left the guest", mmio == 0);
}

static void test(unsigned cpus, unsigned wanted)
{
    uint64_t before;
    lunik_machine_config config = {.name = "test", .accel = LUNIK_ACCEL_KVM, .cpus = cpus};
    lunik_listener counting = {.name = "counting", .priority = 20, .region_del = on_del};
    char name[80];
    bool runs;

    must("machine", lunik_machine_new(rt, &config, &m, &err));
    build();
    must("listener", lunik_listener_add(m, &counting, &err));
    lunik_reset_subscribe(m, &resets);
    lunik_event_subscribe(m, &events);
    operations = changes = 0;
    logging = false;
    must("start", lunik_machine_start(m, &err));
    runs = let_all_run();
    before = holds();
    for (unsigned i = 0; runs && holds() - before < wanted; i++) {
        transaction();
        if (i % 256 == 0)
            runs = let_all_run();
    }
    named(name, cpus, "all of them get on", runs && let_all_run());
    named(name, cpus, "its memory was replaced again and again", changes >= wanted);
    named(name, cpus, "none crashed", lunik_machine_state(m) == LUNIK_STATE_RUNNING);
    must("pause", lunik_machine_pause(m, &err));
    check_counters(cpus);
    lunik_listener_del(&counting);
    lunik_machine_close(m);
    lunik_region *all[] = {mirror, whole, left, right, across, strip, flash};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        lunik_region_unref(all[i]);
    lunik_ram_unref(block);
}

int main(void)
{
    const char *seed = getenv("SEED");
    unsigned wanted = getenv("LUNIK_QUICK") ? 1000 : 15000;

    if (!check_kvm("memory stress"))
        return 0;
    new_runtime();
    random_state = seed ? strtoull(seed, NULL, 0) : 1;
    printf("# SEED=%" PRIu64 "\n", random_state);
    test(2, wanted);
    test(4, wanted);
    lunik_runtime_free(rt);
    return check_result();
}
