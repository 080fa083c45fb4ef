/*
 * test_kvm_slots.c: whatever happens to the topology, and whichever of KVM's calls fails, the
 * memslots are what an obviously right model says, page by page.
 *
 * The linker sends the library's ioctl() calls here: they are noted, checked, passed on or failed.
 * SEED=n repeats a run.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "kvm/kvm.h"
#include "kvm_rig.h"
#include "random.h"

enum { PAGE = 0x1000, PAGES = 64, RAM_PAGES = 32, REGIONS = 9, IDS = 64, COMMITS = 12000 };

static lunik_ram *block;
static lunik_region *regions[REGIONS];
static bool logging;

/* ---- what KVM has --------------------------------------------------------------------------- */

static struct kvm_userspace_memory_region kvm[IDS];
static unsigned live, peak; /* slots now, and the most there ever were */
static unsigned bad_calls, calls;
static unsigned fail_at = UINT32_MAX; /* which call fails */
static bool fail_on;                  /* and those after it */

static bool overlaps(const struct kvm_userspace_memory_region *a,
                     const struct kvm_userspace_memory_region *b)
{
    return a->guest_phys_addr < b->guest_phys_addr + b->memory_size &&
           b->guest_phys_addr < a->guest_phys_addr + a->memory_size;
}

/* Ids are taken again before new ones are: no more are used than there were slots at once. */
static bool creation_ok(const struct kvm_userspace_memory_region *r)
{
    for (unsigned i = 0; i < IDS; i++)
        if (kvm[i].memory_size && overlaps(&kvm[i], r))
            return false;
    return r->slot < (live + 1 > peak ? live + 1 : peak);
}

/* Only whether writes are logged may change. */
static bool change_ok(const struct kvm_userspace_memory_region *r)
{
    const struct kvm_userspace_memory_region *old = &kvm[r->slot];

    return old->guest_phys_addr == r->guest_phys_addr && old->memory_size == r->memory_size &&
           old->userspace_addr == r->userspace_addr &&
           !((old->flags ^ r->flags) & ~KVM_MEM_LOG_DIRTY_PAGES);
}

static bool call_ok(const struct kvm_userspace_memory_region *r)
{
    bool there = r->slot < IDS && kvm[r->slot].memory_size;

    if (r->slot >= IDS || (!r->memory_size && !there))
        return false;
    return !r->memory_size || (there ? change_ok(r) : creation_ok(r));
}

static void note(const struct kvm_userspace_memory_region *r)
{
    if (!call_ok(r)) {
        bad_calls++;
        return;
    }
    live += (r->memory_size != 0) - (kvm[r->slot].memory_size != 0);
    peak = live > peak ? live : peak;
    kvm[r->slot] = *r;
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    int rc;

    if (request != KVM_SET_USER_MEMORY_REGION)
        return __real_ioctl(fd, request, arg);
    calls++;
    if (calls == fail_at || (fail_on && calls > fail_at)) {
        errno = ENOMEM;
        return -1;
    }
    rc = __real_ioctl(fd, request, arg);
    if (!rc)
        note(arg);
    return rc;
}

/* ---- what it should have -------------------------------------------------------------------- */

struct page {
    uint64_t host; /* 0: no slot */
    uint32_t flags;
};

/* KVM can refuse to stop logging, so a slot may be logged without a client. */
static bool flags_right(uint32_t flags, uint32_t want)
{
    return flags == want || (!logging && (flags & ~KVM_MEM_LOG_DIRTY_PAGES) == want);
}

/* The page as the address space shows it: it has a slot if one section covers it with whole pages
 * of memory. */
static struct page expected(unsigned index)
{
    uint64_t at = (uint64_t)index * PAGE;
    lunik_section s;
    struct page p = {0};
    bool rom;

    if (!lunik_space_find(m->memory_space, at, &s) || s.address + s.size < at + PAGE || !s.romd)
        return p;
    p.host = (uintptr_t)lunik_ram_host(lunik_region_ram(s.region)) +
             lunik_region_ram_offset(s.region) + s.offset + (at - s.address);
    if (p.host % PAGE)
        return (struct page){0};
    rom = s.readonly || lunik_region_get_kind(s.region) == LUNIK_REGION_ROM_DEVICE;
    if (rom && !m->kvm->readonly_mem)
        return (struct page){0};
    p.flags = rom ? KVM_MEM_READONLY : logging ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    return p;
}

static const struct kvm_userspace_memory_region *
slot_at(const struct kvm_userspace_memory_region *slots, uint64_t at)
{
    for (unsigned i = 0; i < IDS; i++)
        if (slots[i].memory_size && at - slots[i].guest_phys_addr < slots[i].memory_size)
            return &slots[i];
    return NULL;
}

static bool page_right(unsigned index)
{
    uint64_t at = (uint64_t)index * PAGE;
    const struct kvm_userspace_memory_region *s = slot_at(kvm, at);
    struct page want = expected(index);

    if (!s)
        return !want.host;
    return s->userspace_addr + (at - s->guest_phys_addr) == want.host &&
           flags_right(s->flags, want.flags);
}

static bool all_right(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        if (!page_right(i))
            return false;
    return true;
}

/* Whether vCPUs had to be kept out: an address had a slot before and has a different one now, or
 * the log of one that went had to be read. */
static bool had_to_hold(const struct kvm_userspace_memory_region *before)
{
    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t at = (uint64_t)i * PAGE;
        const struct kvm_userspace_memory_region *a = slot_at(before, at), *b = slot_at(kvm, at);
        bool same = a && b && a->guest_phys_addr == b->guest_phys_addr &&
                    a->memory_size == b->memory_size && a->userspace_addr == b->userspace_addr &&
                    !((a->flags ^ b->flags) & ~KVM_MEM_LOG_DIRTY_PAGES);

        if (a && !same && (b || (logging && a->flags & KVM_MEM_LOG_DIRTY_PAGES)))
            return true;
    }
    return false;
}

/* ---- the topology --------------------------------------------------------------------------- */

static lunik_access ignore(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.write = ignore};

static void build(void)
{
    static const lunik_region_kind kinds[REGIONS] = {
        LUNIK_REGION_RAM,        LUNIK_REGION_ALIAS, LUNIK_REGION_ALIAS,
        LUNIK_REGION_ALIAS,      LUNIK_REGION_ROM,   LUNIK_REGION_ROM_DEVICE,
        LUNIK_REGION_ROM_DEVICE, LUNIK_REGION_IO,    LUNIK_REGION_RAM,
    };

    block = new_ram("block", RAM_PAGES * PAGE);
    for (unsigned i = 0; i < REGIONS; i++) {
        lunik_region_config config = {.kind = kinds[i],
                                      .name = "region",
                                      .size = i ? 8 * PAGE : RAM_PAGES * PAGE,
                                      .ops = &ops};

        if (kinds[i] == LUNIK_REGION_ALIAS)
            config.target = regions[0];
        else if (kinds[i] != LUNIK_REGION_IO)
            config.ram = block;
        regions[i] = add_to(m->memory_space, i * 4ull * PAGE, region_of(config), (int)i);
    }
}

/* Mostly whole pages. */
static uint64_t some_pages(unsigned count)
{
    uint64_t bytes = (uint64_t)chance(count) * PAGE;

    return chance(6) ? bytes : bytes + chance(4) * 0x400;
}

static void change_something(void)
{
    lunik_region *r = regions[chance(REGIONS)];
    lunik_region_kind kind = lunik_region_get_kind(r);

    switch (chance(7)) {
    case 0:
    case 1:
        must("enabled", lunik_region_set_enabled(r, !lunik_region_enabled(r), &err));
        break;
    case 2:
        must("offset", lunik_region_set_offset(r, some_pages(48), &err));
        break;
    case 3:
        must("size", lunik_region_set_size(r, some_pages(12) + 0x400, &err));
        break;
    case 4:
        must("priority", lunik_region_set_priority(r, (int)chance(REGIONS), &err));
        break;
    case 5:
        if (kind == LUNIK_REGION_ALIAS)
            must("alias", lunik_region_set_alias_offset(r, some_pages(24), &err));
        else if (kind == LUNIK_REGION_ROM_DEVICE)
            must("romd", lunik_region_set_romd(r, !lunik_region_romd(r), &err));
        break;
    default:
        if (kind == LUNIK_REGION_RAM)
            must("readonly", lunik_region_set_readonly(r, !lunik_region_readonly(r), &err));
    }
}

static int commit(void)
{
    lunik_transaction_begin(m);
    for (unsigned i = 1 + chance(4); i; i--)
        change_something();
    return lunik_transaction_commit(m, &err);
}

static int change_logging(void)
{
    int rc = logging ? lunik_dirty_stop(m, LUNIK_DIRTY_USER, NULL, &err)
                     : lunik_dirty_start(m, LUNIK_DIRTY_USER, NULL, &err);

    logging ^= !rc;
    return rc;
}

/* ---- the test ------------------------------------------------------------------------------- */

struct slot_count {
    unsigned commits, held, refused, broken;
    bool is_broken; /* the last change could not be undone */
    bool wrong_slots, wrong_hold, wrong_error, untold;
};

static unsigned told; /* of memory that is not as it should be */

static void on_event(void *opaque, const lunik_event *event)
{
    told += !strcmp(event->name, "error");
}

static lunik_event_sub events = {.fn = on_event};

/* Makes a call fail, and perhaps all that follow, so that what has been done can't be undone. */
static void arm(void)
{
    fail_at = chance(3) ? UINT32_MAX : calls + 1 + chance(8);
    fail_on = !chance(4);
}

/* A change that could not be undone is undone by the next change, or before vCPUs run. */
static bool repaired(void)
{
    return all_right() || (!kvm_memory_repair(m, &err) && all_right());
}

static void one_change(struct slot_count *t)
{
    struct kvm_userspace_memory_region before[IDS];
    bool broken = t->is_broken;
    uint64_t held = holds();
    bool log_changes = !chance(broken ? 2 : 8), failed;
    int rc;

    memcpy(before, kvm, sizeof(before));
    arm();
    rc = log_changes ? change_logging() : commit();
    failed = calls >= fail_at;
    fail_at = UINT32_MAX;
    told = 0;
    lunik_deliver_events(rt);
    t->untold |= rc && !log_changes && !all_right() && !told;
    t->commits++;
    t->refused += rc != 0;
    t->held += holds() != held;
    if (rc && (!failed || !strstr(err.message, "KVM: ")))
        t->wrong_error = true;
    if (!rc && !failed && !broken && !log_changes)
        t->wrong_hold |= (holds() != held) != had_to_hold(before);
    if (failed && fail_on) {
        t->broken++;
        t->is_broken = true;
        return;
    }
    t->wrong_slots |= !(broken ? repaired() : all_right());
    t->is_broken = false;
}

/* readonly: KVM has slots that can't be written. */
static void test(bool readonly)
{
    struct slot_count t = {0};

    new_machine(LUNIK_ACCEL_KVM);
    m->kvm->readonly_mem = m->kvm->readonly_mem && readonly;
    lunik_event_subscribe(m, &events);
    memset(kvm, 0, sizeof(kvm));
    live = peak = 0;
    logging = false;
    build();
    while (t.commits < COMMITS && !t.wrong_slots)
        one_change(&t);
    printf("# %u changes, %u calls, %u refused, %u could not be undone at once, %u held vCPUs\n",
           t.commits, calls, t.refused, t.broken, t.held);
    check_true("slots: as the flat view says, after each change and each failure", !t.wrong_slots);
    check_uint("slots: calls that KVM or its user can't want", bad_calls, 0);
    check_true("slots: vCPUs are held if, and only if, a slot in use is replaced", !t.wrong_hold);
    check_true("slots: a failure is reported, and nothing else is one", !t.wrong_error);
    check_true("slots: and so is a change that can't be undone", !t.untold);
    check_true("slots: all of it happened", t.refused > 50 && t.broken > 10 && t.held > 100);
    lunik_machine_close(m);
    for (unsigned i = REGIONS; i--;)
        lunik_region_unref(regions[i]);
    check_uint("slots: nothing uses the memory then", block->refs, 1);
    lunik_ram_unref(block);
}

int main(void)
{
    const char *seed = getenv("SEED");

    if (!check_kvm("kvm slots"))
        return 0;
    random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
    printf("# SEED=%" PRIu64 "\n", random_state);
    new_runtime();
    test(true);
    test(false);
    lunik_runtime_free(rt);
    return check_result();
}
