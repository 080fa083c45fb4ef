/* device.c: what block devices can in addition to files: sizes, discard, ioctl. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define IOCTL_DATA 4096

/* Whether fd is a block device; a negative errno if it is nothing. */
static long is_block(long fd, struct stat *st)
{
    long rc = SYS2(SYS_fstat, fd, st);

    return rc < 0 ? rc : S_ISBLK(st->st_mode);
}

static long run_size(struct call *c)
{
    long fd = handle_get(c), block;
    uint64_t size = 0;
    unsigned physical = 0;
    int logical = 0;
    struct stat st;

    if (c->rc)
        return c->rc;
    block = is_block(fd, &st);
    if (block < 0)
        return block;
    if (!block) {
        answer_number(c, "size", st.st_size);
        return 0;
    }
    block = SYS3(SYS_ioctl, fd, BLKGETSIZE64, &size);
    if (block < 0)
        return block;
    SYS3(SYS_ioctl, fd, BLKSSZGET, &logical);
    SYS3(SYS_ioctl, fd, BLKPBSZGET, &physical);
    answer_number(c, "size", (int64_t)size);
    answer_number(c, "logical", logical);
    answer_number(c, "physical", physical);
    return 0;
}

/* A range of a block device by an ioctl, of a file by fallocate(). */
static long range(struct call *c, unsigned long request, int mode)
{
    long fd = handle_get(c), block;
    int64_t offset = call_range(c, "offset", 0, INT64_MAX);
    int64_t size = call_range(c, "size", 1, INT64_MAX);
    uint64_t part[2] = {(uint64_t)offset, (uint64_t)size};
    struct stat st;

    if (c->rc)
        return c->rc;
    block = is_block(fd, &st);
    if (block < 0)
        return block;
    if (block)
        return SYS3(SYS_ioctl, fd, request, part);
    return SYS4(SYS_fallocate, fd, mode | FALLOC_FL_KEEP_SIZE, offset, size);
}

static long run_discard(struct call *c)
{
    return range(c, BLKDISCARD, FALLOC_FL_PUNCH_HOLE);
}

static long run_zero(struct call *c)
{
    return range(c, BLKZEROOUT, FALLOC_FL_ZERO_RANGE);
}

/* An ioctl whose argument is a number, or data that the kernel may change. */
static long run_ioctl(struct call *c)
{
    long fd = handle_get(c), rc;
    int64_t request = call_range(c, "request", 0, UINT32_MAX);
    int64_t value = call_number_or(c, "value", 0);
    const struct arg *data = call_find(c, "data");

    if (data && data->size > IOCTL_DATA)
        call_complain(c, "data", "is more than 4096 bytes");
    if (c->rc)
        return c->rc;
    for (size_t i = 0; data && i < data->size; i++)
        buffer[i] = (unsigned char)data->value[i];
    rc = SYS3(SYS_ioctl, fd, request, data ? (long)buffer : value);
    if (rc < 0)
        return rc;
    answer_number(c, "result", rc);
    if (data)
        answer_data(c, "data", buffer, data->size);
    return 0;
}

const struct command device_commands[] = {
    {"size", "handle", run_size},
    {"discard", "handle offset size", run_discard},
    {"zero", "handle offset size", run_zero},
    {"ioctl", "handle request value data", run_ioctl},
    {0},
};
