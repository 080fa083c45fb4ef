/* block_rig.h: a machine without devices, files to make disks of, and a channel to one on the
 * loop's thread. */
#ifndef SPEC_BLOCK_RIG_H
#define SPEC_BLOCK_RIG_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "machine_rig.h"

static struct block_channel *channel;
static unsigned batches;

static inline void block_rig_open(void)
{
    must("runtime", lunik_runtime_new(lunik_builtin_types(), &rt, &err));
    new_machine(LUNIK_ACCEL_NONE);
}

static inline void block_rig_close(void)
{
    lunik_machine_close(m);
    lunik_runtime_free(rt);
}

/* ---- files ---------------------------------------------------------------------------------- */

static inline int make_file(char *path, const char *folder, uint64_t size)
{
    int fd;

    sprintf(path, "%s/lunik-block-XXXXXX", folder);
    fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, (off_t)size)) {
        perror(path);
        exit(1);
    }
    return fd;
}

/* ---- disks ---------------------------------------------------------------------------------- */

/* A blockdev-file; options such as "aio=threads,direct=true". NULL: refused, see err. */
static inline lunik_object *new_disk(const char *id, const char *path, const char *options)
{
    lunik_field props[12] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_STRING("filename", path)};
    char text[128], *at = text, *option, *value;
    lunik_object *o = NULL;
    size_t count = 2;

    snprintf(text, sizeof(text), "%s", options);
    while ((option = strsep(&at, ",")) && *option) {
        value = strchr(option, '=');
        if (!value)
            return NULL;
        *value++ = '\0';
        props[count++] = !strcmp(value, "true") || !strcmp(value, "false")
                             ? LUNIK_FIELD_BOOL(option, value[0] == 't')
                             : LUNIK_FIELD_STRING(option, value);
    }
    return lunik_object_add(m, "blockdev-file", props, count, &o, &err) ? NULL : o;
}

static inline uint64_t disk_number(lunik_object *o, const char *property)
{
    lunik_value value = {.kind = LUNIK_NIL};

    must(property, lunik_object_get(o, property, &value, &err));
    return value.uint;
}

/* ---- a channel ------------------------------------------------------------------------------ */

static inline int rig_post(void *opaque, lunik_task *task)
{
    (void)opaque;
    lunik_defer(rt, task);
    return 0;
}

static inline void rig_cancel(void *opaque, lunik_task *task)
{
    (void)opaque;
    lunik_defer_cancel(rt, task);
}

static inline uv_loop_t *rig_loop(void *opaque)
{
    (void)opaque;
    return lunik_loop(rt);
}

static inline void rig_batch(void *opaque)
{
    (void)opaque;
    batches++;
}

static inline void open_channel_to(lunik_object *o)
{
    const struct block_place place = {
        .post = rig_post, .cancel = rig_cancel, .loop = rig_loop, .batch = rig_batch};

    must("channel", block_open(o, &place, &channel, &err));
}

static inline void rig_wait(void)
{
    while (channel->in_flight)
        lunik_run_timeout(rt, 1000);
}

/* ---- requests one at a time ----------------------------------------------------------------- */

struct rig_request {
    struct block_request b;
    struct iovec piece;
    int rc;
};

static inline void rig_done(struct block_request *r, int rc)
{
    lunik_container_of(r, struct rig_request, b)->rc = rc;
}

/* Carries out one request and waits for it. */
static inline int rig_do(enum block_op op, unsigned flags, uint64_t offset, uint64_t size,
                         void *data)
{
    struct rig_request r = {.piece = {data, size}, .rc = 1};

    r.b = (struct block_request){.op = op,
                                 .flags = flags,
                                 .offset = offset,
                                 .size = size,
                                 .iov = &r.piece,
                                 .count = op <= BLOCK_WRITE,
                                 .done = rig_done};
    block_submit(channel, &r.b);
    block_commit(channel);
    rig_wait();
    return r.rc;
}

#endif
