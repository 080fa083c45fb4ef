/*
 * dispatch.c: carries out accesses to address spaces.
 *
 * An access is cut where one range ends and the next begins. The part that falls into a device is
 * either one whole access, whose size the device has to accept, or (bulk transfers, pieces of an
 * access that crosses a border) is cut into accesses of sizes that the device accepts.
 *
 * Data is handled as bytes in ascending order of address; a device's endianness decides how the
 * bytes of one callback become a number. A rejected read returns all ones.
 */
#include <limits.h>
#include <string.h>

#include "memory.h"
#include "core/cause_stack.h"
#include "core/misuse.h"
#include "core/runtime.h"
#include "core/trace.h"
#include "core/vcpu_thread.h"

/* How deep callbacks may nest whose accesses call other callbacks. */
enum { MAX_NESTING = 16 };

enum {
    ACCESS_WRITE = 1,
    ACCESS_BULK = 2,   /* of any size; may be cut to suit a device */
    ACCESS_LOCKED = 4, /* the caller holds the machine lock */
};

struct access {
    lunik_space *space;
    uint64_t address;
    uint8_t *data;
    uint64_t size;
    unsigned flags;
};

static lunik_access worse(lunik_access a, lunik_access b)
{
    return a > b ? a : b;
}

static void read_ones(const struct access *a, uint64_t size)
{
    if (!(a->flags & ACCESS_WRITE))
        memset(a->data, 0xff, size);
}

/* Fills in the cause frame of an access. Its name is the region's, which outlives the access. */
static void access_cause(lunik_cause *c, const lunik_region *r, const struct access *a,
                         uint64_t size)
{
    bool write = a->flags & ACCESS_WRITE;

    *c = (lunik_cause){
        .action = write ? "write" : "read",
        .name = r ? r->name : NULL,
        .detail = a->space == a->space->core->machine->io_space ? "port" : "address",
        .vcpu = vcpu_thread_index(),
        .address = a->address,
        .size = size < UINT_MAX ? (unsigned)size : UINT_MAX,
    };
    if (write && size <= sizeof(c->value))
        memcpy(&c->value, a->data, size);
}

/* Counts and reports an access, or a part of one, that is not carried out; returns its result. */
static lunik_access reject(const struct access *a, lunik_region *r, uint64_t offset, uint64_t size,
                           lunik_reject why)
{
    lunik_rejection what = {
        .space = a->space, .region = r, .offset = offset, .why = why, .result = reject_result(why)};

    if (reject_count(a->space, r)) {
        access_cause(&what.access, r, a, size);
        what.access.by = cause_current();
        reject_notify(&what);
    }
    return what.result;
}

/* ---- devices -------------------------------------------------------------------------------- */

static uint64_t swap_if(bool big_endian, uint64_t value, unsigned size)
{
    return big_endian ? __builtin_bswap64(value) >> (64 - 8 * size) : value;
}

/* The type of a device's read and peek. */
typedef lunik_access read_fn(void *opaque, uint64_t offset, unsigned size, uint64_t *value);

static lunik_access call_read(lunik_region *r, read_fn *read, uint64_t offset, uint8_t *data,
                              unsigned size)
{
    uint64_t value = 0;
    lunik_access result = read(r->opaque, offset, size, &value);

    if (result)
        value = UINT64_MAX;
    value = swap_if(r->rules.big_endian, value, size);
    memcpy(data, &value, size);
    return result;
}

static lunik_access call_write(lunik_region *r, uint64_t offset, const uint8_t *data, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, data, size);
    return r->ops->write(r->opaque, offset, size, swap_if(r->rules.big_endian, value, size));
}

/* Carries out a part of an access that is smaller than the smallest implemented size: a read takes
 * its bytes out of the aligned unit, a write replaces them in it. */
static lunik_access access_unit(lunik_region *r, uint64_t offset, uint8_t *data, unsigned size,
                                bool write)
{
    read_fn *read = write && r->ops->peek ? r->ops->peek : r->ops->read;
    unsigned unit_size = r->rules.impl_min;
    uint64_t unit = offset & ~(uint64_t)(unit_size - 1);
    uint8_t bytes[8] = {0};
    lunik_access result = LUNIK_ACCESS_OK;

    if (read)
        result = call_read(r, read, unit, bytes, unit_size);
    if (!write) {
        memcpy(data, bytes + (offset - unit), size);
        return result;
    }
    if (result)
        return result;
    memcpy(bytes + (offset - unit), data, size);
    return call_write(r, unit, bytes, unit_size);
}

static unsigned largest_power(uint64_t limit)
{
    return limit >= 8 ? 8 : limit >= 4 ? 4 : limit >= 2 ? 2 : 1;
}

/* Makes the callbacks that a valid access needs. */
static lunik_access access_device(lunik_region *r, uint64_t offset, uint8_t *data, unsigned size,
                                  bool write)
{
    const struct access_rules *rules = &r->rules;
    lunik_access result = LUNIK_ACCESS_OK;

    while (size) {
        unsigned n = largest_power(size < rules->impl_max ? size : rules->impl_max);

        while (!rules->impl_unaligned && offset & (n - 1))
            n /= 2;
        if (n < rules->impl_min) {
            unsigned room = rules->impl_min - (unsigned)(offset & (rules->impl_min - 1u));

            n = size < room ? size : room;
            result = worse(result, access_unit(r, offset, data, n, write));
        } else if (write) {
            result = worse(result, call_write(r, offset, data, n));
        } else {
            result = worse(result, call_read(r, r->ops->read, offset, data, n));
        }
        offset += n;
        data += n;
        size -= n;
    }
    return result;
}

static lunik_reject check_valid(const lunik_region *r, uint64_t offset, unsigned size, bool write)
{
    if (write ? !r->ops->write : !r->ops->read)
        return write ? LUNIK_REJECT_READONLY : LUNIK_REJECT_WRITEONLY;
    if (size < r->rules.valid_min || size > r->rules.valid_max)
        return LUNIK_REJECT_SIZE;
    if (!r->rules.valid_unaligned && offset & (size - 1))
        return LUNIK_REJECT_ALIGNMENT;
    return LUNIK_REJECT_NONE;
}

/* Carries out one access of 1, 2, 4 or 8 bytes to a region with ops. Returns why it failed. */
static lunik_reject access_io(lunik_region *r, uint64_t offset, const struct access *a,
                              unsigned size)
{
    bool write = a->flags & ACCESS_WRITE;
    lunik_reject why = check_valid(r, offset, size, write);
    lunik_access result;

    count_up(write ? &r->writes : &r->reads);
    if (why) {
        read_ones(a, size);
        return why;
    }
    result = access_device(r, offset, a->data, size, write);
    if (result)
        return result == LUNIK_ACCESS_DEVICE ? LUNIK_REJECT_DEVICE : LUNIK_REJECT_UNDECODED;
    return LUNIK_REJECT_NONE;
}

/* The same under the machine lock. The callback may remove its own region; region and owner stay
 * until it returns. */
static lunik_access access_io_locked(lunik_region *r, uint64_t offset, const struct access *a,
                                     unsigned size)
{
    struct memory_core *core = a->space->core;
    lunik_access result = LUNIK_ACCESS_OK;
    lunik_reject why;
    lunik_cause cause;
    lunik_span span;

    if (core->nesting == MAX_NESTING) {
        read_ones(a, size);
        return reject(a, r, offset, size, LUNIK_REJECT_NESTING);
    }
    access_cause(&cause, r, a, size);
    lunik_cause_push(&cause);
    core->refs++;
    core->nesting++;
    lunik_region_ref(r);
    span.machine = NULL;
    if (trace_on(core->machine))
        access_step_begin(&span, r, offset, &cause);
    why = access_io(r, offset, a, size);
    if (__builtin_expect(span.machine != NULL, 0))
        access_step_end(&span, a->flags & ACCESS_WRITE ? NULL : a->data, size);
    core->nesting--;
    lunik_cause_pop(&cause);
    if (why)
        result = reject(a, r, offset, size, why);
    lunik_region_unref(r);
    core_unref(core);
    return result;
}

/* ---- RAM ------------------------------------------------------------------------------------ */

/* The guest may write at the same time: naturally aligned accesses are single loads or stores, as
 * on hardware; others are copied byte by byte in no particular order. */
static void copy_memory(void *to, const void *from, uint64_t size)
{
    uintptr_t address = (uintptr_t)to | (uintptr_t)from;

    if (size == 8 && !(address & 7))
        __atomic_store_n((uint64_t *)to, __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
    else if (size == 4 && !(address & 3))
        __atomic_store_n((uint32_t *)to, __atomic_load_n((const uint32_t *)from, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
    else if (size == 2 && !(address & 1))
        __atomic_store_n((uint16_t *)to, __atomic_load_n((const uint16_t *)from, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
    else
        memcpy(to, from, size);
}

void region_copy(lunik_region *r, uint64_t offset, void *data, uint64_t size, bool write)
{
    if (!write) {
        copy_memory(data, r->host + offset, size);
        return;
    }
    copy_memory(r->host + offset, data, size);
    region_written(r, offset, size);
}

/* Carries out an access to RAM; returns false if it is not one. */
static bool access_ram(const struct flat_range *range, uint64_t offset, const struct access *a,
                       uint64_t size)
{
    bool write = a->flags & ACCESS_WRITE;

    if (!range_is_ram(range, write))
        return false;
    region_copy(range->region, offset, a->data, size, write);
    region_check_damage(range->region);
    return true;
}

/* ---- spaces --------------------------------------------------------------------------------- */

/* Returns how many of size bytes at offset go to the device in one access. */
static unsigned device_piece(const lunik_region *r, uint64_t offset, const struct access *a,
                             uint64_t size)
{
    unsigned n;

    if (!(a->flags & ACCESS_BULK) && size == a->size && size == largest_power(size))
        return (unsigned)size;
    n = largest_power(size < r->rules.valid_max ? size : r->rules.valid_max);
    while (!r->rules.valid_unaligned && offset & (n - 1))
        n /= 2;
    return n;
}

/* Carries out a write to ROM, or any access to a reserved region. */
static lunik_access access_without_ops(lunik_region *r, uint64_t offset, const struct access *a,
                                       uint64_t size)
{
    if (r->kind != LUNIK_REGION_RESERVED)
        return reject(a, r, offset, size, LUNIK_REJECT_READONLY);
    read_ones(a, size);
    return LUNIK_ACCESS_OK;
}

static lunik_access access_lockless(lunik_region *r, uint64_t offset, const struct access *a,
                                    unsigned size)
{
    lunik_reject why = access_io(r, offset, a, size);

    return why ? reject(a, r, offset, size, why) : LUNIK_ACCESS_OK;
}

static lunik_access access_nothing(const struct access *a, uint64_t size)
{
    read_ones(a, size);
    return reject(a, NULL, 0, size, LUNIK_REJECT_UNASSIGNED);
}

static lunik_access space_access(struct access *a);

/* Carries out an access to a device that needs the lock. If the topology has changed while the
 * thread waited for the lock, the piece is looked up again: the region may be gone with the view
 * that it was found in. ioeventfds are looked up again in any case: they change without the view.
 */
static lunik_access access_with_lock(lunik_region *r, uint64_t offset, const struct access *a,
                                     unsigned size, uint64_t serial)
{
    struct access piece = *a;
    lunik_access result;

    if (size != a->size)
        piece.flags |= ACCESS_BULK;
    piece.size = size;
    piece.flags |= ACCESS_LOCKED;
    runtime_lock_unpinned(a->space->core->rt);
    if (view_root_current(a->space->vr)->serial != serial)
        result = space_access(&piece);
    else if (a->flags & ACCESS_WRITE && io_signal(r, offset, a->data, size))
        result = LUNIK_ACCESS_OK;
    else
        result = access_io_locked(r, offset, &piece, size);
    lunik_unlock(a->space->core->rt);
    return result;
}

/* Carries out the part of the access that falls into the first range; *done is its length. */
static lunik_access access_piece(const struct access *a, uint64_t *done)
{
    struct view_cursor c = view_seek(view_root_current(a->space->vr), a->address);
    const struct flat_range *range = cursor_range(&c);
    uint64_t size = a->size, offset;
    lunik_region *r;

    if (!range || range->span.first > a->address) {
        if (range && range->span.first - a->address < size)
            size = range->span.first - a->address;
        *done = size;
        return access_nothing(a, size);
    }
    r = range->region;
    offset = range->offset + (a->address - range->span.first);
    if (size - 1 > range->span.last - a->address)
        size = range->span.last - a->address + 1;
    *done = size;
    if (access_ram(range, offset, a, size))
        return LUNIK_ACCESS_OK;
    if (!r->ops)
        return access_without_ops(r, offset, a, size);
    size = *done = device_piece(r, offset, a, size);
    if (a->flags & ACCESS_WRITE && io_signal(r, offset, a->data, (unsigned)size))
        return LUNIK_ACCESS_OK;
    if (r->ops->lockless)
        return access_lockless(r, offset, a, (unsigned)size);
    if (a->flags & ACCESS_LOCKED)
        return access_io_locked(r, offset, a, (unsigned)size);
    return access_with_lock(r, offset, a, (unsigned)size, c.view->serial);
}

static lunik_access space_access(struct access *a)
{
    lunik_access result = LUNIK_ACCESS_OK;
    uint64_t done;

    while (a->size) {
        result = worse(result, access_piece(a, &done));
        a->address += done;
        a->data += done;
        a->size -= done;
        if (a->size && !a->address) { /* past the end of the address space */
            result = worse(result, access_nothing(a, a->size));
            break;
        }
        a->flags |= a->size ? ACCESS_BULK : 0;
    }
    return result;
}

lunik_access space_vcpu_access(lunik_space *s, uint64_t address, void *data, unsigned size,
                               bool write)
{
    struct access a = {.space = s,
                       .address = address,
                       .data = data,
                       .size = size,
                       .flags = write ? ACCESS_WRITE : 0};

    return space_access(&a);
}

void region_write_late(lunik_space *s, uint64_t address, lunik_region *r, uint64_t offset,
                       const uint8_t *data, unsigned size)
{
    struct access a = {.space = s, .size = size, .flags = ACCESS_WRITE | ACCESS_BULK};
    uint8_t bytes[8];

    memcpy(bytes, data, size);
    for (unsigned n, done = 0; done < size; done += n) {
        a.data = bytes + done;
        a.address = address + done;
        n = size == largest_power(size) ? size : device_piece(r, offset + done, &a, size - done);
        if (!io_signal(r, offset + done, a.data, n))
            access_io_locked(r, offset + done, &a, n);
    }
}

static int code_of(lunik_access result)
{
    if (!result)
        return 0;
    return result == LUNIK_ACCESS_DEVICE ? LUNIK_E_DEVICE : LUNIK_E_ACCESS;
}

static int transfer(lunik_space *s, uint64_t address, void *data, uint64_t size, unsigned flags)
{
    struct access a = {
        .space = s, .address = address, .data = data, .size = size, .flags = flags | ACCESS_LOCKED};

    struct memory_core *core = s->core;
    lunik_runtime *rt = core->rt;
    int rc = LUNIK_E_GONE; /* delivering writes may close the machine */

    runtime_enter(rt);
    core->refs++;
    core_flush(core);
    if (core->machine)
        rc = code_of(space_access(&a));
    core_unref(core);
    runtime_leave(rt);
    return rc;
}

int lunik_space_read(lunik_space *s, uint64_t address, void *buf, size_t size)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    return transfer(s, address, buf, size, ACCESS_BULK);
}

int lunik_space_write(lunik_space *s, uint64_t address, const void *buf, size_t size)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    REQUIRE(buf || !size, "buf is NULL", LUNIK_E_INVALID);

    /* buf is only read, as the access is a write. */
    return transfer(s, address, (void *)(uintptr_t)buf, size, ACCESS_BULK | ACCESS_WRITE);
}

static bool size_ok(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

int lunik_space_load(lunik_space *s, uint64_t address, unsigned size, uint64_t *value)
{
    NOT_NULL(s, LUNIK_E_INVALID);
    NOT_NULL(value, LUNIK_E_INVALID);

    *value = 0;
    return size_ok(size) ? transfer(s, address, value, size, 0) : LUNIK_E_INVALID;
}

int lunik_space_store(lunik_space *s, uint64_t address, unsigned size, uint64_t value)
{
    NOT_NULL(s, LUNIK_E_INVALID);

    return size_ok(size) ? transfer(s, address, &value, size, ACCESS_WRITE) : LUNIK_E_INVALID;
}
