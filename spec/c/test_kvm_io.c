/*
 * test_kvm_io.c: ioeventfds and coalesced writes under a running guest.
 *
 * The guest is a few real-mode instructions that write a counter to a register of a device, which
 * is moved and replaced meanwhile: every write must arrive once, in order, at what was there.
 *
 * The linker sends the library's ioctl() calls here.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "kvm/kvm.h"
#include "memory/memory.h"
#include "kvm/vcpu_internal.h"

enum {
    CODE = 0x9000,
    DONE = 0x7000,
    RESULT = 0x7004,
    GO = 0x7008,
    DEVICE = 0xe000,
    PORT = 0x500,
    SWAPS = 200
};

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static lunik_region *ram, *vector;

static void must(const char *what, int rc)
{
    if (rc) {
        printf("not ok %s: %s\n", what, err.message);
        exit(1);
    }
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* What it lacks; calls that are for that. */
static enum { LACKS_NOTHING, LACKS_SOME, LACKS_ALL } kernel;
static unsigned unknown_calls;
/* vCPUs in KVM_RUN, slots being changed while all are to be kept outside, and both at once. */
static _Atomic unsigned inside, changing, intrusions;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static bool lacks(uintptr_t capability)
{
    switch (capability) {
    case KVM_CAP_IOEVENTFD:
    case KVM_CAP_COALESCED_MMIO:
        return kernel == LACKS_ALL;
    case KVM_CAP_IOEVENTFD_ANY_LENGTH:
    case KVM_CAP_COALESCED_PIO:
        return kernel != LACKS_NOTHING;
    default:
        return false;
    }
}

static bool is_unknown(unsigned long request, const void *arg)
{
    const struct kvm_coalesced_mmio_zone *zone = arg;
    const struct kvm_ioeventfd *event = arg;

    if (request == KVM_IOEVENTFD)
        return lacks(event->len ? KVM_CAP_IOEVENTFD : KVM_CAP_IOEVENTFD_ANY_LENGTH);
    return request == KVM_REGISTER_COALESCED_MMIO &&
           lacks(zone->pio ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
    _Atomic unsigned *running = NULL;
    int rc;

    if (request == KVM_CHECK_EXTENSION && lacks((uintptr_t)arg))
        return 0;
    if (is_unknown(request, arg)) {
        unknown_calls++;
        errno = ENOTTY;
        return -1;
    }
    if (request == KVM_RUN)
        running = &inside;
    else if (request == KVM_SET_USER_MEMORY_REGION && m && m->vcpus && m->vcpus->holds)
        running = &changing;
    if (!running)
        return __real_ioctl(fd, request, arg);
    ++*running;
    intrusions += inside && changing;
    rc = __real_ioctl(fd, request, arg);
    --*running;
    return rc;
}

/* ---- devices -------------------------------------------------------------------------------- */

/* Atomic, as the lockless device needs it. */
static _Atomic uint32_t written; /* writes that arrived at any device, numbered by the guest */
static _Atomic unsigned misplaced;
static const void *_Atomic last_writer;

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (value != written)
        misplaced++;
    written++;
    last_writer = opaque;
    return LUNIK_ACCESS_OK;
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = written;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.read = on_read, .write = on_write};
static const lunik_io_ops lockless_ops = {.read = on_read, .write = on_write, .lockless = true};

static lunik_region *make(const char *name, lunik_region_kind kind, uint64_t size,
                          const lunik_io_ops *io)
{
    lunik_ram_config ram_config = {.name = name, .size = size, .fd = -1};
    lunik_region_config config = {
        .kind = kind, .name = name, .size = size, .ops = io, .opaque = (void *)(uintptr_t)name};
    lunik_region *r = NULL;

    if (!io)
        must(name, lunik_ram_new(&ram_config, &config.ram, &err));
    must(name, lunik_region_new(m, &config, &r, &err));
    if (config.ram)
        lunik_ram_unref(config.ram);
    return r;
}

static lunik_region *add(lunik_space *s, uint64_t at, lunik_region *r, int priority)
{
    must(r->name, lunik_region_add(lunik_space_root(s), at, r, priority, true, &err));
    return r;
}

static void drop(lunik_region *r)
{
    must(r->name, lunik_region_del(r, &err));
    lunik_region_unref(r);
}

/* ---- guests --------------------------------------------------------------------------------- */

static void new_machine(void)
{
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_KVM, .cpus = 1};

    must("machine", lunik_machine_new(rt, &config, &m, &err));
    ram = add(m->memory_space, 0, make("ram", LUNIK_REGION_RAM, 0x10000, NULL), 0);
    vector = add(m->memory_space, 0xfffff000, make("vector", LUNIK_REGION_ROM, 0x1000, NULL), 0);
    written = misplaced = 0;
}

static void start(const void *code, size_t size)
{
    static const uint8_t far_jump[] = {0xea, CODE & 0xff, CODE >> 8, 0, 0};

    memcpy(vector->host + 0xff0, far_jump, sizeof(far_jump));
    memcpy(ram->host + CODE, code, size);
    must("start", lunik_machine_start(m, &err));
}

static uint32_t word(unsigned at)
{
    return __atomic_load_n((uint32_t *)(ram->host + at), __ATOMIC_RELAXED);
}

/* Until the guest has counted so far. */
static void wait_word(unsigned at, uint32_t value)
{
    for (int i = 0; i < 20000 && word(at) < value; i++)
        lunik_run_timeout(rt, 1);
}

static uint64_t exits_for_io(void)
{
    lunik_vcpu_stats stats;

    lunik_vcpu_get_stats(lunik_vcpu_get(m, 0), &stats);
    return stats.mmio + stats.io;
}

static void end_machine(void)
{
    drop(vector);
    drop(ram);
    lunik_machine_close(m);
}

/* 100 writes, a read whose result goes to RESULT, and around for ever when DONE is set */
static const uint8_t hundred[] = {
    0x66,
    0x31,
    0xc0, /* xor eax, eax */
    0x66,
    0xa3,
    DEVICE & 0xff,
    DEVICE >> 8, /* mov [DEVICE], eax */
    0x66,
    0x40, /* inc eax */
    0x66,
    0x3d,
    100,
    0,
    0,
    0, /* cmp eax, 100 */
    0x75,
    0xf2, /* jne -14 */
    0x66,
    0xa1,
    0,
    (DEVICE >> 8) + 1, /* mov eax, [DEVICE + 0x100] */
    0x66,
    0xa3,
    RESULT & 0xff,
    RESULT >> 8, /* mov [RESULT], eax */
    0x66,
    0xff,
    0x06,
    DONE & 0xff,
    DONE >> 8, /* inc dword [DONE] */
    0xeb,
    0xfe, /* jmp $ */
};

/* The same without the read. */
static const uint8_t hundred_only[] = {
    0x66, 0x31, 0xc0,                                     /* xor eax, eax */
    0x66, 0xa3, DEVICE & 0xff, DEVICE >> 8,               /* mov [DEVICE], eax */
    0x66, 0x40,                                           /* inc eax */
    0x66, 0x3d, 100,           0,           0,         0, /* cmp eax, 100 */
    0x75, 0xf2,                                           /* jne -14 */
    0x66, 0xff, 0x06,          DONE & 0xff, DONE >> 8,    /* inc dword [DONE] */
    0xeb, 0xfe,                                           /* jmp $ */
};

/* The same at a port: the low byte of the counter. */
static const uint8_t hundred_out[] = {
    0x66, 0x31,        0xc0,                                 /* xor eax, eax */
    0xba, PORT & 0xff, PORT >> 8,                            /* mov dx, PORT */
    0xee,                                                    /* out dx, al */
    0x66, 0x40,                                              /* inc eax */
    0x66, 0x3d,        100,       0,           0,         0, /* cmp eax, 100 */
    0x75, 0xf5,                                              /* jne -11 */
    0x66, 0xff,        0x06,      DONE & 0xff, DONE >> 8,    /* inc dword [DONE] */
    0xeb, 0xfe,                                              /* jmp $ */
};

/* Numbers writes that are coalesced, to memory and to ports, and others, 60 times; then as above.
 */
static const uint8_t in_turn[] = {
    0x66,
    0x31,
    0xc0, /* xor eax, eax */
    0xba,
    PORT & 0xff,
    PORT >> 8, /* mov dx, PORT */
    0x66,
    0xa3,
    DEVICE & 0xff,
    DEVICE >> 8, /* again: mov [DEVICE], eax */
    0x66,
    0x40, /* inc eax */
    0x66,
    0xef, /* out dx, eax */
    0x66,
    0x40, /* inc eax */
    0x66,
    0xa3,
    0,
    (DEVICE >> 8) + 1, /* mov [DEVICE + 0x100], eax */
    0x66,
    0x40, /* inc eax */
    0x66,
    0xa3,
    DEVICE & 0xff,
    DEVICE >> 8, /* mov [DEVICE], eax */
    0x66,
    0x40, /* inc eax */
    0x83,
    0xc2,
    4, /* add dx, 4 */
    0x66,
    0xef, /* out dx, eax */
    0x83,
    0xea,
    4, /* sub dx, 4 */
    0x66,
    0x40, /* inc eax */
    0x66,
    0x3d,
    44,
    1,
    0,
    0, /* cmp eax, 300 */
    0x75,
    0xd8, /* jne again */
    0x66,
    0xff,
    0x06,
    DONE & 0xff,
    DONE >> 8, /* inc dword [DONE] */
    0xeb,
    0xfe, /* jmp $ */
};

/* Four bytes across the border of two pages; then as above. */
static const uint8_t across[] = {
    0x66,      0xb8, 0x44, 0x33,
    0x22,      0x11,                            /* mov eax, 0x11223344 */
    0x66,      0xa3, 0xfd, (DEVICE >> 8) + 0xf, /* mov [DEVICE + 0xffd], eax */
    0x66,      0xff, 0x06, DONE & 0xff,
    DONE >> 8,       /* inc dword [DONE] */
    0xeb,      0xfe, /* jmp $ */
};

/* For ever: writes a counter; DONE counts the writes. */
static const uint8_t for_ever[] = {
    0x66, 0x31, 0xc0,                                  /* xor eax, eax */
    0x66, 0xa3, DEVICE & 0xff, DEVICE >> 8,            /* mov [DEVICE], eax */
    0x66, 0xff, 0x06,          DONE & 0xff, DONE >> 8, /* inc dword [DONE] */
    0x66, 0x40,                                        /* inc eax */
    0xeb, 0xf3,                                        /* jmp -13 */
};

/* Copies SIZE bytes, one by one, from DEVICE + 0x100 to DEVICE; then as above. */
enum { COPY_SIZE = 16 };
static const uint8_t copy[] = {
    0xfc,                                      /* cld */
    0xbe,        0,         (DEVICE >> 8) + 1, /* mov si, DEVICE + 0x100 */
    0xbf,        0,         DEVICE >> 8,       /* mov di, DEVICE */
    0xb9,        COPY_SIZE, 0,                 /* mov cx, COPY_SIZE */
    0xf3,        0xa4,                         /* rep movsb */
    0x66,        0xff,      0x06,              /* inc dword [DONE] */
    DONE & 0xff, DONE >> 8, 0xeb,
    0xfe /* jmp $ */
};

/* For ever: reads 0x1f00 bytes from DEVICE on, one by one, in a single instruction. */
static const uint8_t scan[] = {
    0xfc, /* cld */
    0xbe,        DEVICE & 0xff,
    DEVICE >> 8, /* mov si, DEVICE */
    0xb9,        0,
    0x1f,              /* mov cx, 0x1f00 */
    0xf3,        0xac, /* rep lodsb */
    0xeb,        0xf5, /* jmp -11 */
};

/* Writes to DEVICE, counts in DONE, waits for GO, reads from DEVICE + 0x100. */
static const uint8_t write_then_read[] = {
    0x66,
    0xa3,
    DEVICE & 0xff,
    DEVICE >> 8, /* mov [DEVICE], eax */
    0x66,
    0xff,
    0x06,
    DONE & 0xff,
    DONE >> 8, /* inc dword [DONE] */
    0x80,
    0x3e,
    GO & 0xff,
    GO >> 8,
    0, /* cmp byte [GO], 0 */
    0x74,
    0xf9, /* je -7 */
    0x66,
    0xa1,
    0,
    (DEVICE >> 8) + 1, /* mov eax, [DEVICE + 0x100] */
    0xeb,
    0xfe, /* jmp $ */
};

/* ---- coalesced writes ----------------------------------------------------------------------- */

static void test_read(void)
{
    lunik_region *dev;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred, sizeof(hundred));
    wait_word(DONE, 1);
    check_uint("coalesced: all have arrived before a read", word(RESULT), 100);
    check_uint("coalesced: in order", misplaced, 0);
    check_uint("coalesced: the read is the only exit", exits_for_io(), 1);
    drop(dev);
    end_machine();
}

static void test_looks(void)
{
    lunik_region *dev;
    uint64_t value = 0;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 2, &err)); /* less than a write */
    lunik_transaction_begin(m);
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("commit", lunik_transaction_commit(m, &err));
    start(hundred_only, sizeof(hundred_only));
    wait_word(DONE, 1);
    check_uint("coalesced: no exit", exits_for_io(), 0);
    lunik_space_load(m->memory_space, DEVICE + 0x100, 4, &value);
    check_uint("coalesced: delivered when this process looks", value, 100);
    drop(dev);
    end_machine();
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

/* What is delivered may take away what is looked at. */
static void test_looks_at_nothing(void)
{
    lunik_region *dev;
    uint64_t hash;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &removing_ops), 1);
    removable = add(m->memory_space, 0x20000, make("extra", LUNIK_REGION_RAM, 0x1000, NULL), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred_only, sizeof(hundred_only));
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000);
    check_int("coalesced: delivered before it is found out what there is",
              lunik_space_hash(m->memory_space, 0x20000, 0x1000, &hash), LUNIK_E_ACCESS);
    drop(dev);
    drop(removable);
    end_machine();
}

/* What a device does to RAM is done before anybody looks there. */
static void test_looks_at_ram(const char *name, uint64_t (*look)(void))
{
    lunik_region *dev;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &counting_ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred_only, sizeof(hundred_only));
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000);
    check_uint(name, look(), 100);
    drop(dev);
    end_machine();
}

static void test_move(void)
{
    lunik_region *dev, *other;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    other = add(m->memory_space, 0x20000, make("other", LUNIK_REGION_IO, 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred_only, sizeof(hundred_only));
    wait_word(DONE, 1);
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(dev, 0x30000, &err));
    must("move", lunik_region_set_offset(other, DEVICE, &err));
    must("commit", lunik_transaction_commit(m, &err));
    check_uint("coalesced: delivered before the topology changes", written, 100);
    check_string("coalesced: to what was there", last_writer, "dev");
    drop(dev);
    drop(other);
    end_machine();
}

/* The guest writes while a transaction is open: nothing has changed yet for it. */
static void test_open_transaction(void)
{
    lunik_region *dev, *other;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    other = add(m->memory_space, 0x20000, make("other", LUNIK_REGION_IO, 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    lunik_transaction_begin(m);
    start(hundred_only, sizeof(hundred_only));
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000); /* with the lock: nothing is delivered before the commit */
    must("move", lunik_region_set_offset(dev, 0x30000, &err));
    must("move", lunik_region_set_offset(other, DEVICE, &err));
    check_uint("coalesced: not yet delivered", written, 0);
    must("commit", lunik_transaction_commit(m, &err));
    check_uint("coalesced: delivered with the commit", written, 100);
    check_string("coalesced: to what was there when they were made", last_writer, "dev");
    drop(dev);
    drop(other);
    end_machine();
}

/* Waits until GO is set, then goes on with what follows. */
static const uint8_t wait_go[] = {
    0x80, 0x3e, GO & 0xff, GO >> 8, 0, /* cmp byte [GO], 0 */
    0x74, 0xf9,                        /* je -7 */
};

/* Lets the guest write when the commit has begun, and waits until it has. A listener that is added
 * hears of a commit, too: before the guest runs. */
static void let_it_write(lunik_listener *l)
{
    if (lunik_machine_state(m) != LUNIK_STATE_RUNNING)
        return;
    ram->host[GO] = 1;
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000);
}

static void test_open_commit(void)
{
    lunik_listener listener = {.name = "early", .begin = let_it_write};
    uint8_t code[sizeof(wait_go) + sizeof(hundred_only)];
    lunik_region *dev;
    unsigned refs;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("listener", lunik_listener_add(m, &listener, &err));
    refs = dev->refs;
    memcpy(code, wait_go, sizeof(wait_go));
    memcpy(code + sizeof(wait_go), hundred_only, sizeof(hundred_only));
    start(code, sizeof(code));
    must("disable", lunik_region_set_enabled(dev, false, &err));
    check_uint("coalesced: made while it is committed, delivered with it", written, 100);
    check_uint("coalesced: to what nobody keeps then", dev->refs, refs);
    lunik_listener_del(&listener);
    drop(dev);
    end_machine();
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

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &careful_ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    start(hundred_only, sizeof(hundred_only));
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000);
    check_uint("coalesced: still in the ring", written, 0);
    must(name, change(dev));
    check_uint(name, written, 100);
    check_true("coalesced: while the device was there", was_there);
    drop(dev);
    end_machine();
}

/* All in the order in which the guest made them, whichever way they come. */
static void test_order(void)
{
    lunik_region *dev, *port;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    port = add(m->io_space, PORT, make("port", LUNIK_REGION_IO, 8, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    must("coalesce", lunik_region_coalesce(port, 0, 4, &err));
    start(in_turn, sizeof(in_turn));
    wait_word(DONE, 1);
    must("pause", lunik_machine_pause(m, &err));
    check_uint("order: all writes", written, 300);
    check_uint("order: as the guest made them", misplaced, 0);
    check_uint("order: two of five exit", exits_for_io(), 120);
    drop(dev);
    drop(port);
    end_machine();
}

static char sequence[2 * COPY_SIZE + 1];

static void note(char what)
{
    size_t length = strlen(sequence);

    if (length + 1 < sizeof(sequence))
        sequence[length] = what;
}

static lunik_access on_noted_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    note('w');
    return LUNIK_ACCESS_OK;
}

/* The pause finds the vCPU in the middle of an instruction. */
static lunik_access on_pausing_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    note('r');
    lunik_machine_pause(m, &err);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops pausing_ops = {.read = on_pausing_read, .write = on_noted_write};

static void test_order_at_a_pause(void)
{
    lunik_region *dev;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &pausing_ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 0x100, &err));
    memset(sequence, 0, sizeof(sequence));
    start(copy, sizeof(copy));
    for (int i = 0; i < 20000 && lunik_machine_state(m) == LUNIK_STATE_RUNNING; i++)
        lunik_run_timeout(rt, 1);
    check_string("order: of an instruction that a pause completes", sequence,
                 "rwrwrwrwrwrwrwrwrwrwrwrwrwrwrwrw");
    drop(dev);
    end_machine();
}

static _Atomic bool looked;
static bool overtaken;

static lunik_access on_slow_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    written++;
    ram->host[GO] = 1;
    for (int i = 0; i < 300 && !looked; i++)
        usleep(1000);
    overtaken = looked;
    return LUNIK_ACCESS_OK;
}

static lunik_access on_look(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    looked = true;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops slow_ops = {.write = on_slow_write};
static const lunik_io_ops look_ops = {.read = on_look, .lockless = true};

/* A write that another thread is delivering is not overtaken by what needs no lock. */
static void test_no_overtaking(void)
{
    lunik_region *slow, *look;

    new_machine();
    slow = add(m->memory_space, DEVICE, make("slow", LUNIK_REGION_IO, 4, &slow_ops), 1);
    look = add(m->memory_space, DEVICE + 0x100, make("look", LUNIK_REGION_IO, 4, &look_ops), 1);
    must("coalesce", lunik_region_coalesce(slow, 0, 4, &err));
    ram->host[GO] = 0;
    looked = overtaken = false;
    start(write_then_read, sizeof(write_then_read));
    for (int i = 0; i < 20000 && !word(DONE); i++)
        usleep(1000);
    lunik_coalesced_flush(m);
    check_uint("coalesced: delivered by this thread", written, 1);
    check_true("coalesced: before what the guest does next", !overtaken);
    for (int i = 0; i < 20000 && !looked; i++)
        lunik_run_timeout(rt, 1);
    check_true("coalesced: which it does then", looked);
    drop(slow);
    drop(look);
    end_machine();
}

static _Atomic unsigned scanned;

static lunik_access on_scan(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    scanned++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops scan_ops = {.read = on_scan, .lockless = true};

/* Memslots in use are replaced while a pause completes an instruction, an access at a time. */
static void test_hold_at_a_pause(void)
{
    lunik_region *dev, *window;
    unsigned reads = 0;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x2000, &scan_ops), 1);
    window = add(m->memory_space, 0x1000, make("window", LUNIK_REGION_RAM, 0x1000, NULL), 1);
    scanned = 0;
    start(scan, sizeof(scan));
    for (int i = 0; i < 20000 && scanned < 10; i++)
        usleep(1000);
    for (int i = 0; i < 100 && reads < 100; i++) {
        unsigned before = scanned;

        vcpus_stop(m);
        for (unsigned j = 0; j < SWAPS; j++)
            must("swap", lunik_region_set_enabled(window, j % 2, &err));
        must("pause", lunik_machine_pause(m, &err));
        reads += scanned - before;
        must("resume", lunik_machine_start(m, &err));
    }
    check_true("hold: accesses of an instruction that a pause completes", reads >= 100);
    check_uint("hold: nobody was in the guest", intrusions, 0);
    drop(dev);
    drop(window);
    end_machine();
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

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x2000, &piece_ops), 1);
    if (coalesced)
        must("coalesce", lunik_region_coalesce(dev, 0, 0x2000, &err));
    pieces = 0;
    memset(received, 0, sizeof(received));
    start(across, sizeof(across));
    wait_word(DONE, 1);
    must("pause", lunik_machine_pause(m, &err));
    check_true("pieces: all of them arrive", pieces >= 2 && !memcmp(received, want, sizeof(want)));
    drop(dev);
    end_machine();
}

static void test_ports(void)
{
    lunik_region *dev;

    new_machine();
    dev = add(m->io_space, PORT, make("dev", LUNIK_REGION_IO, 4, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0, 4, &err));
    start(hundred_out, sizeof(hundred_out));
    wait_word(DONE, 1);
    check_uint("coalesced: ports do not exit", exits_for_io(), 0);
    must("pause", lunik_machine_pause(m, &err));
    check_uint("coalesced: delivered when the machine stops", written, 100);
    check_uint("coalesced: ports in order", misplaced, 0);
    drop(dev);
    end_machine();
}

/* Two devices take turns at the same place while the guest writes: each write arrives once. */
static void test_turns(const char *name, const lunik_io_ops *io)
{
    lunik_region *a, *b;
    uint32_t count;
    int turns;

    new_machine();
    a = add(m->memory_space, DEVICE, make("a", LUNIK_REGION_IO, 4, io), 1);
    b = add(m->memory_space, DEVICE, make("b", LUNIK_REGION_IO, 4, io), 2);
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
    count = word(DONE);
    check_true(name, (written == count || written == count + 1) && !misplaced);
    printf("# %d turns, %u of %u writes, %u misplaced, %" PRIu64 " exits\n", turns, written, count,
           misplaced, exits_for_io());
    /* a lockless one gets exits while the listener takes its turn */
    if (!io->lockless)
        check_true("coalesced: most of them without an exit", exits_for_io() < count / 2 + SWAPS);
    drop(a);
    drop(b);
    end_machine();
}

/* ---- ioeventfds ----------------------------------------------------------------------------- */

static uint64_t signals(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_eventfd(void)
{
    lunik_region *dev, *other;
    int fd = eventfd(0, EFD_NONBLOCK);
    uint32_t count;
    uint64_t seen;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 4, &ops), 2);
    other = add(m->memory_space, DEVICE, make("other", LUNIK_REGION_IO, 4, &ops), 1);
    must("eventfd", lunik_region_add_eventfd(dev, 0, 4, false, 0, fd, &err));
    start(for_ever, sizeof(for_ever));
    wait_word(DONE, 2000);
    check_true("ioeventfd: signalled", signals(fd) >= 2000 - 1);
    check_uint("ioeventfd: no exits", exits_for_io(), 0);
    must("pause", lunik_machine_pause(m, &err));
    signals(fd);
    count = word(DONE);
    seen = written;
    must("resume", lunik_machine_start(m, &err));
    for (int i = 0; i < SWAPS; i++) {
        must("swap", lunik_region_set_enabled(dev, i % 2, &err));
        if (i % 8 == 0)
            lunik_run_timeout(rt, 1);
    }
    must("pause", lunik_machine_pause(m, &err));
    count = word(DONE) - count;
    seen = written - seen + signals(fd);
    check_true("ioeventfd: every write signals, or goes to what was there instead",
               seen + 1 >= count && seen <= count + 1);
    check_true("ioeventfd: both kinds came", written > 0 && written < count);
    printf("# %u writes, %u to the device\n", count, written);
    drop(dev);
    drop(other);
    end_machine();
    close(fd);
}

/* Somebody else has taken the address in KVM. */
static void test_refusal(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), mine = eventfd(0, EFD_NONBLOCK);
    struct kvm_ioeventfd taken = {.addr = DEVICE + 8, .len = 4, .fd = fd};
    lunik_region *dev;

    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x10, &ops), 1);
    must("coalesce", lunik_region_coalesce(dev, 0, 4, &err));
    must("ioctl", ioctl(m->kvm->vm_fd, KVM_IOEVENTFD, &taken));
    lunik_transaction_begin(m);
    must("uncoalesce", lunik_region_uncoalesce(dev, &err));
    must("first", lunik_region_add_eventfd(dev, 4, 4, false, 0, mine, &err));
    must("second", lunik_region_add_eventfd(dev, 8, 4, false, 0, mine, &err));
    check_true("refusal: the transaction fails", lunik_transaction_commit(m, &err) != 0);
    check_contains("refusal: with a reason", err.message,
                   "memory region 'dev': an ioeventfd of 0x4 bytes at 0xe008 can't be set");
    lunik_space_store(m->memory_space, DEVICE + 4, 4, 0);
    check_uint("refusal: nothing has changed", written, 1);
    taken.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
    must("ioctl", ioctl(m->kvm->vm_fd, KVM_IOEVENTFD, &taken));
    must("again", lunik_region_add_eventfd(dev, 8, 4, false, 0, mine, &err));
    must("again", lunik_region_add_eventfd(dev, 4, 4, false, 0, mine, &err));
    written = 0;
    start(hundred_only, sizeof(hundred_only));
    wait_word(DONE, 1);
    check_uint("refusal: what was coalesced is still", exits_for_io(), 0);
    drop(dev);
    end_machine();
    close(fd);
    close(mine);
}

/* What the kernel lacks is done by exits. */
static void test_old_kernel(int lacking)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    lunik_region *dev, *port;

    kernel = lacking;
    new_machine();
    dev = add(m->memory_space, DEVICE, make("dev", LUNIK_REGION_IO, 0x200, &ops), 1);
    port = add(m->io_space, PORT, make("port", LUNIK_REGION_IO, 8, &ops), 0);
    must("coalesce", lunik_region_coalesce(dev, 0x100, 0x100, &err));
    must("coalesce", lunik_region_coalesce(port, 0, 4, &err));
    must("eventfd",
         lunik_region_add_eventfd(dev, 0, lacking == LACKS_ALL ? 4 : 0, false, 0, fd, &err));
    start(hundred, sizeof(hundred));
    wait_word(DONE, 1);
    check_uint("old kernel: ioeventfds signal", signals(fd), 100);
    check_uint("old kernel: after an exit each", exits_for_io(), 101);
    check_uint("old kernel: is not asked for what it does not know", unknown_calls, 0);
    drop(dev);
    drop(port);
    end_machine();
    close(fd);
    kernel = LACKS_NOTHING;
}

int main(void)
{
    static const lunik_type *const no_types[] = {NULL};

    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        printf("ok kvm io # SKIP no /dev/kvm\n");
        return 0;
    }
    must("runtime", lunik_runtime_new(no_types, &rt, &err));
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
    test_order();
    test_order_at_a_pause();
    test_no_overtaking();
    test_hold_at_a_pause();
    test_pieces(false);
    test_pieces(true);
    test_ports();
    test_turns("coalesced: once and in order, whoever's turn it is", &ops);
    test_turns("coalesced: the same without the lock", &lockless_ops);
    test_eventfd();
    test_refusal();
    test_old_kernel(LACKS_SOME);
    test_old_kernel(LACKS_ALL);
    lunik_runtime_free(rt);
    return check_result();
}
