/*
 * ram.c: host mappings that back guest memory.
 *
 * A block is unmapped a grace period after its last reference is dropped, so a vCPU or device
 * thread that found it through a flat view can finish its access.
 */
#include "core/machine.h"
#include "ram.h"
#include "core/misuse.h"
#include "sigbus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Host addresses end at 2^47; half of that leaves room for alignment and other mappings. */
#define RAM_SIZE_MAX (UINT64_C(1) << 46)
#define HUGE_ALIGN   (UINT64_C(2) << 20)

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) / align * align;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- checks --------------------------------------------------------------------------------- */

static int check_multiple(const lunik_ram_config *c, const char *what, uint64_t value,
                          uint64_t unit, lunik_error *err)
{
    if (value % unit == 0)
        return 0;
    return lunik_fail(err, LUNIK_E_INVALID,
                      "%s: %s: %" PRIu64 " is not a multiple of the page size %" PRIu64, c->name,
                      what, value, unit);
}

/* Touching a mapping beyond the end of its file would raise SIGBUS. */
static int check_file(const lunik_ram_config *c, lunik_error *err)
{
    struct stat st;

    if (fstat(c->fd, &st))
        return lunik_fail_errno(err, errno, "%s: can't read the size of its file", c->name);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < c->fd_offset + c->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: the file has %" PRIu64 " bytes (want at least %" PRIu64 ")", c->name,
                          (uint64_t)st.st_size, c->fd_offset + c->size);
    return 0;
}

static int check_config(const lunik_ram_config *c, uint64_t page_size, lunik_error *err)
{
    int rc;

    if (!c->size)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: size: 0 is out of range (want at least 1)",
                          c->name);
    if ((page_size & (page_size - 1)) || page_size % (uint64_t)sysconf(_SC_PAGESIZE))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: page size: %" PRIu64 " is not one of the host",
                          c->name, page_size);
    if (c->sync && (!c->share || c->fd < 0))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: sync: wants a file and share", c->name);
    if (c->align & (c->align - 1))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: align: %" PRIu64 " is not a power of two",
                          c->name, c->align);
    if (c->size > RAM_SIZE_MAX || c->align > RAM_SIZE_MAX)
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: size: %" PRIu64 " bytes are more than the host can map", c->name,
                          max_u64(c->size, c->align));
    rc = check_multiple(c, "size", c->size, page_size, err);
    if (rc || c->fd < 0 || c->host)
        return rc;
    if (c->fd_offset > INT64_MAX - c->size)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: offset: %" PRIu64 " is out of range", c->name,
                          c->fd_offset);
    rc = check_multiple(c, "offset", c->fd_offset, page_size, err);
    return rc ? rc : check_file(c, err);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Maps the block: at `address`, over a reservation, or where the kernel chooses if that is NULL. */
static void *map_at(const lunik_ram_config *c, void *address)
{
    int prot = c->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    int sharing = c->sync ? MAP_SHARED_VALIDATE | MAP_SYNC : c->share ? MAP_SHARED : MAP_PRIVATE;
    int flags = (address ? MAP_FIXED : 0) | sharing | (c->fd < 0 ? MAP_ANONYMOUS : 0) |
                (c->noreserve ? MAP_NORESERVE : 0);
    void *host = mmap(address, c->size, prot, flags, c->fd, (off_t)c->fd_offset);

    return host == MAP_FAILED ? NULL : host;
}

/* Reserves addresses with room for alignment, maps the block over them and unmaps the rest. */
static void *map_reserved(const lunik_ram_config *c, uint64_t align)
{
    size_t total = c->size + align;
    char *area, *host;

    area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    host = (char *)align_up((uintptr_t)area, align);
    if (!map_at(c, host)) {
        int sys = errno;
        munmap(area, total);
        errno = sys;
        return NULL;
    }
    if (host > area)
        munmap(area, (size_t)(host - area));
    munmap(host + c->size, (size_t)(area + total - (host + c->size)));
    return host;
}

/* Tries without a reservation first: recent kernels align large mappings themselves, and a block
 * mapped below an aligned one is often aligned. */
static void *map_aligned(const lunik_ram_config *c, uint64_t align)
{
    void *host = map_at(c, NULL);

    if (!host || !((uintptr_t)host % align))
        return host;
    munmap(host, c->size);
    return map_reserved(c, align);
}

static int map_failed(const lunik_ram_config *c, uint64_t page_size, int sys, lunik_error *err)
{
    if (c->sync && (sys == EOPNOTSUPP || sys == EINVAL))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "%s: sync: the file system of its file can't map it with MAP_SYNC (want "
                          "persistent memory: a file on a file system with DAX)",
                          c->name);
    if (sys != ENOMEM)
        return lunik_fail_errno(err, sys, "%s: can't map %" PRIu64 " bytes", c->name, c->size);
    if (page_size > (uint64_t)sysconf(_SC_PAGESIZE))
        return lunik_fail(err, LUNIK_E_NO_MEMORY,
                          "%s: the host has too few free huge pages of %" PRIu64
                          " bytes for %" PRIu64 " bytes",
                          c->name, page_size, c->size);
    return lunik_fail(err, LUNIK_E_NO_MEMORY,
                      "%s: size: %" PRIu64 " bytes are more than the host can map", c->name,
                      c->size);
}

/* Keeps the mapping out of children, which would get its page tables for nothing, and asks for
 * transparent huge pages. */
static void advise(const lunik_ram *ram)
{
    madvise(ram->host, ram->size, MADV_DONTFORK);
    if (ram->page_size == (uint64_t)sysconf(_SC_PAGESIZE))
        madvise(ram->host, ram->size, MADV_HUGEPAGE);
}

/* Duplicates the descriptor and maps the block; returns 0 or an errno value. */
static int ram_acquire(lunik_ram *ram, const lunik_ram_config *c)
{
    if (c->fd >= 0 && ram->fd < 0)
        ram->fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    if (c->fd >= 0 && ram->fd < 0)
        return errno;
    ram->host = c->host ? c->host : map_aligned(c, max_u64(ram->align, HUGE_ALIGN));
    return ram->host ? 0 : errno;
}

/* ---- reclamation ---------------------------------------------------------------------------- */

/* Keeps the lock in a transaction; reclamation does not wait for threads that wait for the lock. */
bool ram_wait_reclaimed(lunik_runtime *rt, uint64_t since)
{
    bool unlocked = rt && lunik_locked(rt) && !machines_in_transaction(rt) && !rcu_nested();

    if (unlocked)
        lunik_unlock(rt);
    rcu_wait(RCU_SHORTAGE_MS);
    if (unlocked)
        lunik_lock(rt);
    return rcu_reclaimed() != since;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void ram_free(lunik_ram *ram)
{
    sigbus_guard_free(ram->guard);
    if (ram->host && !ram->borrowed)
        munmap(ram->host, ram->size);
    ram_dirty_fini(ram);
    if (ram->fd >= 0)
        close(ram->fd);
    free(ram->name);
    free(ram);
}

static void ram_reclaim(struct rcu_head *head)
{
    rcu_note_reclaim();
    ram_free(lunik_container_of(head, lunik_ram, rcu));
}

static int ram_setup(lunik_ram *ram, const lunik_ram_config *c, lunik_error *err)
{
    uint64_t since = rcu_reclaimed();
    int sys;

    ram->name = strdup(c->name);
    if (!ram->name)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", c->name);
    sys = ram_acquire(ram, c);
    if (rcu_is_shortage(sys) && ram_wait_reclaimed(c->rt, since))
        sys = ram_acquire(ram, c);
    if (sys && c->fd >= 0 && ram->fd < 0)
        return lunik_fail_errno(err, sys, "%s: can't keep its file open", c->name);
    if (sys)
        return map_failed(c, ram->page_size, sys, err);
    ram->borrowed = c->host;
    if (ram->borrowed)
        return 0;
    advise(ram);
    if (ram->fd < 0)
        return 0;
    ram->guard = sigbus_guard_new(ram->host, ram->size, ram->page_size, ram->readonly);
    return ram->guard ? 0 : lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", c->name);
}

int lunik_ram_new(const lunik_ram_config *config, lunik_ram **out, lunik_error *err)
{
    NOT_NULL_OR_FAIL(out, err);
    NOT_NULL_OR_FAIL(config, err);

    lunik_ram_config c = *config;
    uint64_t page_size = c.page_size ? c.page_size : (uint64_t)sysconf(_SC_PAGESIZE);
    lunik_ram *ram;
    int rc;

    c.name = c.name ? c.name : "ram";
    rc = check_config(&c, page_size, err);
    if (rc)
        return rc;
    ram = calloc(1, sizeof(*ram));
    if (!ram)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: out of memory", c.name);
    atomic_init(&ram->refs, 1);
    ram->size = c.size;
    ram->page_size = page_size;
    ram->align = max_u64(page_size, c.align ? c.align : c.fd < 0 ? HUGE_ALIGN : 0);
    ram->fd = -1;
    ram->fd_offset = c.fd < 0 ? 0 : c.fd_offset;
    ram->share = c.share;
    ram->readonly = c.readonly;
    rc = ram_setup(ram, &c, err);
    if (rc) {
        ram_free(ram);
        return rc;
    }
    *out = ram;
    return 0;
}

bool ram_damaged(const lunik_ram *ram)
{
    return sigbus_damaged(ram->guard);
}

void lunik_ram_ref(lunik_ram *ram)
{
    NOT_NULL(ram);

    atomic_fetch_add_explicit(&ram->refs, 1, memory_order_relaxed);
}

bool ram_try_ref(lunik_ram *ram)
{
    unsigned refs = atomic_load_explicit(&ram->refs, memory_order_relaxed);

    while (refs && !atomic_compare_exchange_weak_explicit(
                       &ram->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed))
        ;
    return refs;
}

void lunik_ram_unref(lunik_ram *ram)
{
    NOT_NULL(ram);

    if (atomic_fetch_sub_explicit(&ram->refs, 1, memory_order_acq_rel) == 1)
        rcu_defer_urgent(&ram->rcu, ram_reclaim);
}

void *lunik_ram_host(const lunik_ram *ram)
{
    NOT_NULL(ram, NULL);

    return ram->host;
}

uint64_t lunik_ram_size(const lunik_ram *ram)
{
    NOT_NULL(ram, 0);

    return ram->size;
}

uint64_t lunik_ram_page_size(const lunik_ram *ram)
{
    NOT_NULL(ram, 0);

    return ram->page_size;
}

uint64_t lunik_ram_align(const lunik_ram *ram)
{
    NOT_NULL(ram, 0);

    return ram->align;
}

int lunik_ram_fd(const lunik_ram *ram)
{
    NOT_NULL(ram, -1);

    return ram->fd;
}

uint64_t lunik_ram_fd_offset(const lunik_ram *ram)
{
    NOT_NULL(ram, 0);

    return ram->fd_offset;
}

bool lunik_ram_shared(const lunik_ram *ram)
{
    NOT_NULL(ram, false);

    return ram->share;
}

bool lunik_ram_readonly(const lunik_ram *ram)
{
    NOT_NULL(ram, false);

    return ram->readonly;
}

const char *lunik_ram_name(const lunik_ram *ram)
{
    NOT_NULL(ram, "");

    return ram->name;
}
