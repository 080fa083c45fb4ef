/* block_file.c: opening the file of a disk: size, units, locks. */
#define _GNU_SOURCE /* O_DIRECT, F_OFD_SETLK, statx */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "block_file.h"

enum { UNIT_MAX = 4096 };

static int fail_file(const struct block_file_options *o, int sys, const char *what,
                     lunik_error *err)
{
    return lunik_fail_errno(err, sys, "%s: %s: %s '%s'", o->type, o->given_by, what, o->name);
}

/* ---- locks ---------------------------------------------------------------------------------- */

/*
 * QEMU's locks of images: a byte from 100 on is locked, shared, for each thing that a user does,
 * and one from 200 on for each that others may not do.
 */
enum { LOCK_DOES = 100, LOCK_FORBIDS = 200 };
enum { PERM_READ = 0, PERM_WRITE = 1, PERM_RESIZE = 3 };

static int lock_byte(int fd, int byte, bool test)
{
    struct flock l = {
        .l_type = test ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int rc = fcntl(fd, test ? F_OFD_GETLK : F_OFD_SETLK, &l);

    if (rc)
        return errno;
    return test && l.l_type != F_UNLCK ? EAGAIN : 0;
}

/* First takes all locks, then looks whether others stand against them, so that of two that do this
 * at once at most one succeeds. */
static int lock_image(int fd, bool readonly)
{
    const int does[] = {PERM_READ, PERM_WRITE, PERM_RESIZE};
    const int forbids[] = {PERM_WRITE, PERM_RESIZE};
    const unsigned count = readonly ? 1 : 3;
    int sys = 0;

    for (unsigned i = 0; i < count && !sys; i++)
        sys = lock_byte(fd, LOCK_DOES + does[i], false);
    for (unsigned i = 0; i < 2 && !sys; i++)
        sys = lock_byte(fd, LOCK_FORBIDS + forbids[i], false);
    for (unsigned i = 0; i < count && !sys; i++)
        sys = lock_byte(fd, LOCK_FORBIDS + does[i], true);
    for (unsigned i = 0; i < 2 && !sys; i++)
        sys = lock_byte(fd, LOCK_DOES + forbids[i], true);
    return sys;
}

/* F_OFD_GETLK does not see the locks of the same open file, so its own are no obstacle. */
static int take_locks(struct block_file *f, const struct block_file_options *o, lunik_error *err)
{
    int sys = o->locking ? lock_image(f->fd, o->readonly) : 0;

    if (sys == EAGAIN || sys == EACCES)
        return lunik_fail(err, LUNIK_E_BUSY,
                          "%s: %s: '%s' is in use by another disk or program (want it for this one "
                          "alone, readonly in all, or locking=false)",
                          o->type, o->given_by, o->name);
    return sys ? fail_file(o, sys, "can't lock", err) : 0;
}

void block_file_unlock(struct block_file *f)
{
    struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_DOES};

    fcntl(f->fd, F_OFD_SETLK, &l);
}

/* ---- units ---------------------------------------------------------------------------------- */

/* Returns the smallest unit in which a file opened with O_DIRECT can be read. */
static uint32_t probe_unit(int fd)
{
    void *buffer = NULL;
    uint32_t unit = BLOCK_SECTOR;

    if (posix_memalign(&buffer, UNIT_MAX, UNIT_MAX))
        return UNIT_MAX;
    while (unit < UNIT_MAX && pread(fd, buffer, unit, 0) < 0 && errno == EINVAL)
        unit *= 2;
    free(buffer);
    return unit;
}

static void find_units(struct block_file *f)
{
    struct statx st = {0};

    f->unit = BLOCK_SECTOR;
    f->memory_align = 1;
    if (!statx(f->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) && f->regular)
        f->physical = st.stx_blksize <= 65536 ? st.stx_blksize : 0;
    if (!f->direct)
        return;
    f->unit = probe_unit(f->fd);
    f->memory_align = f->unit;
#ifdef STATX_DIOALIGN
    if (!statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && st.stx_mask & STATX_DIOALIGN &&
        st.stx_dio_mem_align)
        f->memory_align = st.stx_dio_mem_align;
#endif
}

static void find_device_units(struct block_file *f)
{
    unsigned physical = 0;
    int logical = 0;

    if (!ioctl(f->fd, BLKPBSZGET, &physical))
        f->physical = physical;
    if (f->direct && !ioctl(f->fd, BLKSSZGET, &logical) && logical > BLOCK_SECTOR)
        f->unit = (uint32_t)logical;
}

/* ---- size ----------------------------------------------------------------------------------- */

int block_file_size(const struct block_file *f, uint64_t *out)
{
    off_t end = lseek(f->fd, 0, SEEK_END);

    if (end < 0)
        return errno;
    *out = (uint64_t)end;
    return 0;
}

static int check_size(struct block_file *f, const struct block_file_options *o, lunik_error *err)
{
    int sys = block_file_size(f, &f->size);

    if (sys)
        return fail_file(o, sys, "can't get the size of", err);
    if (!f->size || f->size % f->unit)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: '%s' has %" PRIu64 " bytes (want a multiple of %u)", o->type,
                          o->given_by, o->name, f->size, f->unit);
    return 0;
}

static bool on_memory(int fd)
{
    struct statfs fs;

    return !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static int look_at(struct block_file *f, const struct block_file_options *o, lunik_error *err)
{
    struct rlimit limit;
    struct stat st;

    if (fstat(f->fd, &st))
        return fail_file(o, errno, "can't look at", err);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: '%s' is neither a file nor a block device",
                          o->type, o->given_by, o->name);
    f->regular = S_ISREG(st.st_mode);
    f->in_memory = f->regular && on_memory(f->fd);
    f->limited = f->regular && !o->readonly && !getrlimit(RLIMIT_FSIZE, &limit) &&
                 limit.rlim_cur != RLIM_INFINITY;
    find_units(f);
    if (!f->regular)
        find_device_units(f);
    return check_size(f, o, err);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* A descriptor that is given keeps its own flags. */
static int open_given(struct block_file *f, const struct block_file_options *o, lunik_error *err)
{
    /* O_NONBLOCK: a FIFO given by mistake must not make the caller wait for its other end. */
    int flags = (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int mode;

    if (o->filename) {
        f->fd = TEMP_FAILURE_RETRY(open(o->filename, flags | (o->direct ? O_DIRECT : 0)));
        if (f->fd < 0 && errno == EINVAL && o->direct)
            return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                              "%s: direct: the file system of '%s' has no O_DIRECT (want "
                              "direct=false)",
                              o->type, o->name);
        if (f->fd < 0)
            return fail_file(o, errno, "can't open", err);
        /* With O_NONBLOCK a ring would not wait for what is not in memory. */
        mode = fcntl(f->fd, F_GETFL);
        return fcntl(f->fd, F_SETFL, mode & ~O_NONBLOCK) ? fail_file(o, errno, "can't use", err)
                                                         : 0;
    }
    f->fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
    if (f->fd < 0)
        return fail_file(o, errno, "can't use", err);
    mode = fcntl(f->fd, F_GETFL);
    f->direct = mode & O_DIRECT;
    if ((mode & O_ACCMODE) == O_WRONLY || (!o->readonly && (mode & O_ACCMODE) != O_RDWR))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: fd: %s is not open for %s", o->type, o->name,
                          o->readonly ? "reading" : "reading and writing (want readonly=true)");
    return 0;
}

int block_file_open(struct block_file *f, const struct block_file_options *o, lunik_error *err)
{
    int rc;

    *f = (struct block_file){.fd = -1, .direct = o->direct, .nowait = true};
    rc = open_given(f, o, err);
    if (!rc)
        rc = look_at(f, o, err);
    if (!rc)
        rc = take_locks(f, o, err);
    if (rc)
        block_file_close(f);
    return rc;
}

void block_file_close(struct block_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}
