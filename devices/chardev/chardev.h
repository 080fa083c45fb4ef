/*
 * chardev.h: what the character devices share: the front end they are attached to, a buffered
 * output and an input on a file descriptor, and a watch on one that accepts connections.
 *
 * Front ends call from any thread that holds the machine lock; file descriptors are read and
 * written on the loop thread alone. Outputs, inputs and watches live in memory of their own: libuv
 * closes handles later than the object that opened them goes away.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include "lunik_device.h"

/* The state of every character device starts with this; its type is a child of "chardev". */
struct chardev {
    const lunik_chardev_front *front; /* NULL while nobody is attached */
    uint64_t written;                 /* bytes taken from front ends */
    uint64_t dropped;                 /* bytes of those that went nowhere */
    bool failed;                      /* event "chardev-error" has been sent, of this peer */
};

/* The attach operation of all character devices. */
int chardev_attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *err);
/* For devices without input. */
void chardev_ignore_input(lunik_object *o);

size_t chardev_can_receive(const struct chardev *c);
void chardev_receive(struct chardev *c, const uint8_t *data, size_t size);
void chardev_writable(struct chardev *c);
/* Counts size bytes as taken and dropped; returns size. */
size_t chardev_drop(struct chardev *c, size_t size);
/* Sends event "chardev-error". */
void chardev_error(struct chardev *c, const char *message);
/* Output failed with errno value sys: sends that event the first time. */
void chardev_failed(struct chardev *c, int sys);

lunik_runtime *chardev_runtime(struct chardev *c);

/* Called when an output or input can't go on; sys is an errno value, 0 at the end of input. The
 * callback may close whatever failed. */
typedef void chardev_end_fn(struct chardev *c, int sys);

/* ---- pacer ---------------------------------------------------------------------------------- */

struct chardev_pacer;

/* Calls fn on the loop thread soon after it was poked, but for a front end that writes byte after
 * byte only every few milliseconds: most of the work, and of the contention for the machine lock,
 * is in being woken up. */
int chardev_pacer_open(struct chardev_pacer **pacer, struct chardev *c, void (*fn)(void *opaque),
                       void *opaque, lunik_error *err);
void chardev_pacer_poke(struct chardev_pacer *pacer);
/* Calls fn now if it was poked, and returns whether it was. */
bool chardev_pacer_hurry(struct chardev_pacer *pacer);
/* Closes *pacer (may be NULL) and sets it to NULL; fn is not called any more. */
void chardev_pacer_close(struct chardev_pacer **pacer);

/* ---- output --------------------------------------------------------------------------------- */

#define CHARDEV_OUTPUT_SIZE 65536 /* bytes buffered */

struct chardev_output;

/* What is at the other end: whether the end of the machine, or of the object, waits for it. */
enum chardev_reader {
    CHARDEV_READER_PEER,   /* a peer that comes and goes: not waited for */
    CHARDEV_READER_FILE,   /* as long as it goes on reading, a few seconds at most */
    CHARDEV_READER_STDOUT, /* as of any program's standard output, see lunik_outlet */
};

/* Buffers output for fd, which it takes over unless it fails. What can't be written when failed is
 * called is dropped; later output is tried again. */
int chardev_output_open(struct chardev_output **out, struct chardev *c, int fd,
                        enum chardev_reader reader, chardev_end_fn *failed, lunik_error *err);
/* Takes what fits in the buffer; the front end is told when there is room again. */
size_t chardev_output_write(struct chardev_output *out, const uint8_t *data, size_t size);
/* Drops what is buffered. */
void chardev_output_discard(struct chardev_output *out);
/* What becomes of what is buffered when an output is closed, after the wait for its reader. What is
 * lost is counted as dropped, and an event "chardev-error" says so, unless the other side has gone.
 */
enum chardev_rest {
    CHARDEV_REST_TRY,  /* is written as far as the other side takes it at once */
    CHARDEV_REST_DROP, /* the other side has gone */
};

/* Closes *out (may be NULL) and sets it to NULL. */
void chardev_output_close(struct chardev_output **out, enum chardev_rest rest);

/* ---- input ---------------------------------------------------------------------------------- */

struct chardev_input;

/* Reads fd, which it takes over unless it fails, as fast as the front end receives. A socket ends
 * when the peer has closed it both ways. */
int chardev_input_open(struct chardev_input **in, struct chardev *c, int fd, chardev_end_fn *ended,
                       lunik_error *err);
/* The front end may be able to receive; also begins anew after an end. in may be NULL. */
void chardev_input_resume(struct chardev_input *in);
void chardev_input_restart(struct chardev_input *in);
void chardev_input_close(struct chardev_input **in);
/* True if the other side of fd is closed for good. */
bool chardev_hung_up(int fd);

/* ---- watch ---------------------------------------------------------------------------------- */

struct chardev_watch;

/* Calls fn on the loop thread while fd, which it takes over unless it fails, is readable. */
int chardev_watch_open(struct chardev_watch **watch, struct chardev *c, int fd,
                       void (*fn)(struct chardev *c), lunik_error *err);
void chardev_watch_close(struct chardev_watch **watch);

/* A second descriptor for fd, one of the process's standard streams, that is non-blocking without
 * making the descriptor others share so, where the kernel allows that; -1 with errno set. mode is
 * O_RDONLY or O_WRONLY. */
int chardev_reopen(int fd, int mode);

#endif
