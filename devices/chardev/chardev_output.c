/* chardev_output.c: buffered output to a file descriptor; see chardev.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev_fd.h"

struct chardev_output {
    struct chardev *owner; /* NULL once closed */
    lunik_runtime *rt;
    chardev_end_fn *failed;
    const char *what;  /* it writes, in messages */
    uint64_t *dropped; /* of the owner: bytes lost */
    struct chardev_fd fd;
    uv_poll_t poll;
    struct chardev_pacer *pacer;
    lunik_outlet outlet; /* filled while `used` is not 0 */
    bool busy;           /* in flush(), whose callbacks may close this */
    bool starved;        /* the front end waits for room */
    size_t head, used;
    uint8_t data[CHARDEV_OUTPUT_SIZE];
};

static void output_closed(uv_handle_t *handle)
{
    free(lunik_container_of((uv_poll_t *)handle, struct chardev_output, poll));
}

static void output_free(struct chardev_output *out)
{
    if (out->fd.pollable) {
        uv_close((uv_handle_t *)&out->poll, output_closed);
        close(out->fd.fd);
    } else {
        close(out->fd.fd);
        free(out);
    }
}

static void set_used(struct chardev_output *out, size_t used)
{
    out->used = used;
    if (used && out->owner)
        lunik_outlet_fill(&out->outlet, lunik_state_object(out->owner));
    else
        lunik_outlet_clear(&out->outlet);
}

/* Notifies the front end if it waits for room and there is enough. */
static void feed(struct chardev_output *out)
{
    if (out->starved && out->used <= CHARDEV_OUTPUT_SIZE / 2) {
        out->starved = false;
        chardev_writable(out->owner);
    }
}

/* Writes as much as possible now. Returns 0, or the errno value of a failure. */
static int drain(struct chardev_output *out)
{
    while (out->used) {
        size_t run = CHARDEV_OUTPUT_SIZE - out->head;
        ssize_t n =
            chardev_fd_write(&out->fd, out->data + out->head, run < out->used ? run : out->used);

        if (n > 0) {
            out->head = (out->head + (size_t)n) % CHARDEV_OUTPUT_SIZE;
            set_used(out, out->used - (size_t)n);
        } else if (n < 0 && chardev_would_block(errno) && out->fd.pollable) {
            return 0;
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? EIO : errno;
        }
    }
    return 0;
}

static void output_ready(uv_poll_t *poll, int status, int events);

/* Waits for the descriptor while output is left. Returns 0, or an errno value. */
static int output_watch(struct chardev_output *out)
{
    bool watching;
    int rc = 0;

    if (!out->fd.pollable)
        return 0;
    watching = uv_is_active((uv_handle_t *)&out->poll);
    if (!out->used && watching) /* stopping is a system call even when it is stopped */
        uv_poll_stop(&out->poll);
    else if (out->used && !watching)
        rc = lunik_poll_start(&out->poll, UV_WRITABLE, output_ready);
    if (rc)
        chardev_failed(out->owner, -rc);
    return -rc;
}

void chardev_output_discard(struct chardev_output *out)
{
    *out->dropped += out->used;
    set_used(out, 0);
    lunik_loop(out->rt);
    output_watch(out);
    feed(out);
}

static void flush(struct chardev_output *out)
{
    int sys = drain(out);

    out->busy = true;
    if (!sys)
        sys = output_watch(out);
    if (sys) {
        chardev_output_discard(out);
        if (out->owner)
            out->failed(out->owner, sys);
    } else {
        feed(out);
    }
    out->busy = false;
    if (!out->owner)
        output_free(out);
}

static void output_ready(uv_poll_t *poll, int status, int events)
{
    flush(lunik_container_of(poll, struct chardev_output, poll));
}

static void output_due(void *opaque)
{
    flush(opaque);
}

static void output_flush(lunik_outlet *outlet)
{
    struct chardev_output *out = lunik_container_of(outlet, struct chardev_output, outlet);

    if (!out->busy && !chardev_pacer_hurry(out->pacer))
        flush(out);
}

int chardev_output_open(struct chardev_output **out, struct chardev *c, int fd,
                        enum chardev_reader reader, chardev_end_fn *failed, lunik_error *err)
{
    struct chardev_output *o = malloc(sizeof(*o));
    int rc;

    if (!o)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: no memory for the output buffer",
                          lunik_object_type_name(lunik_state_object(c)));
    memset(o, 0, offsetof(struct chardev_output, data));
    o->owner = c;
    o->rt = chardev_runtime(c);
    o->failed = failed;
    o->what = "output";
    o->dropped = &c->dropped;
    rc = chardev_pacer_open(&o->pacer, c, output_due, o, err);
    if (!rc)
        rc = chardev_fd_init(&o->fd, c, fd, &o->poll, err);
    if (rc) {
        chardev_pacer_close(&o->pacer);
        free(o);
        return rc;
    }
    o->outlet.flush = output_flush;
    o->outlet.fd = reader != CHARDEV_READER_PEER && o->fd.pollable ? fd : -1;
    o->outlet.patient = reader == CHARDEV_READER_STDOUT;
    *out = o;
    return 0;
}

void chardev_output_is_log(struct chardev_output *out)
{
    out->what = "the log";
    out->dropped = &out->owner->log_dropped;
}

size_t chardev_output_room(struct chardev_output *out, size_t size)
{
    size_t room = CHARDEV_OUTPUT_SIZE - out->used;

    out->starved |= room < size;
    return room < size ? room : size;
}

size_t chardev_output_write(struct chardev_output *out, const uint8_t *data, size_t size)
{
    size_t taken = chardev_output_room(out, size);
    size_t tail = (out->head + out->used) % CHARDEV_OUTPUT_SIZE;
    size_t run = CHARDEV_OUTPUT_SIZE - tail;

    if (run > taken)
        run = taken;
    memcpy(out->data + tail, data, run);
    memcpy(out->data, data + run, taken - run);
    if (taken && !out->used)
        chardev_pacer_poke(out->pacer);
    set_used(out, out->used + taken);
    return taken;
}

static void report_lost(struct chardev *c, const char *what, size_t size, int sys)
{
    char message[128];

    snprintf(message, sizeof(message), "%zu bytes of %s are lost: %s", size, what,
             sys ? uv_strerror(-sys) : "closed before the other side took them");
    chardev_error(c, message);
}

void chardev_output_close(struct chardev_output **out, enum chardev_rest rest)
{
    struct chardev_output *o = *out;
    struct chardev *c;
    bool starved;
    int sys;

    if (!o)
        return;
    *out = NULL;
    c = o->owner;
    starved = o->starved;
    o->starved = false;
    o->owner = NULL;
    chardev_pacer_close(&o->pacer);
    lunik_loop(o->rt);
    sys = drain(o);
    *o->dropped += o->used;
    if (o->used && rest != CHARDEV_REST_DROP)
        report_lost(c, o->what, o->used, sys);
    set_used(o, 0);
    if (!o->busy)
        output_free(o);
    if (starved)
        chardev_writable(c);
}
