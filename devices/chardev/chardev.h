/*
 * chardev.h: the parts that character devices share: the front end they are attached to, a buffered
 * output and an input on a file descriptor, and a watch on one that accepts connections.
 *
 * Front ends call from any thread that holds the machine lock; file descriptors are read and
 * written on the loop thread alone. Outputs, inputs and watches have memory of their own: libuv
 * closes their handles after the object that opened them is gone.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include "lunik_device.h"

/* The state of every character device starts with this; its type is a child of "chardev". */
struct chardev {
    const lunik_chardev_front *front; /* NULL while none is attached */
    uint64_t written;                 /* bytes taken from front ends */
    uint64_t dropped;                 /* bytes of those that were lost */
    bool failed;                      /* event "chardev-error" has been sent for this peer */
};

/* The attach operation of all character devices. */
int chardev_attach(lunik_object *o, const lunik_chardev_front *front, lunik_error *err);
/* The accept_input operation of devices without input. */
void chardev_ignore_input(lunik_object *o);

size_t chardev_can_receive(const struct chardev *c);
void chardev_receive(struct chardev *c, const uint8_t *data, size_t size);
void chardev_writable(struct chardev *c);
/* Counts size bytes as taken and dropped; returns size. */
size_t chardev_drop(struct chardev *c, size_t size);
/* Sends event "chardev-error". */
void chardev_error(struct chardev *c, const char *message);
/* Sends event "chardev-error" the first time that output fails; sys is an errno value. */
void chardev_failed(struct chardev *c, int sys);

lunik_runtime *chardev_runtime(struct chardev *c);

/* Called when an output or input can't go on; sys is an errno value, 0 at the end of input. The
 * callback may close the output or input. */
typedef void chardev_end_fn(struct chardev *c, int sys);

/* ---- pacer ---------------------------------------------------------------------------------- */

struct chardev_pacer;

/* Makes a pacer, which calls fn on the loop thread soon after a poke, but only every few
 * milliseconds for a front end that writes byte after byte: most of the work, and of the contention
 * for the machine lock, is in waking up. */
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

/* The reader at the other end: whether the end of the machine, or of the object, waits for it. */
enum chardev_reader {
    CHARDEV_READER_PEER,   /* a peer that comes and goes: not waited for */
    CHARDEV_READER_FILE,   /* waited for while it goes on reading, a few seconds at most */
    CHARDEV_READER_STDOUT, /* waited for as by any program that writes to it, see lunik_outlet */
};

/* Makes a buffered output to fd, which it takes over unless it fails. Output that can't be written
 * when `failed` is called is dropped; later output is tried again. */
int chardev_output_open(struct chardev_output **out, struct chardev *c, int fd,
                        enum chardev_reader reader, chardev_end_fn *failed, lunik_error *err);
/* Takes as much as fits in the buffer, and returns how much; the front end is notified when there
 * is room again. */
size_t chardev_output_write(struct chardev_output *out, const uint8_t *data, size_t size);
/* Drops the buffered output. */
void chardev_output_discard(struct chardev_output *out);
/* The fate of buffered output when it is closed, after the wait for its reader. Lost output is
 * counted as dropped, and reported with an event "chardev-error" unless the other side has gone. */
enum chardev_rest {
    CHARDEV_REST_TRY,  /* write as much as the other side takes at once */
    CHARDEV_REST_DROP, /* the other side has gone */
};

/* Closes *out (may be NULL) and sets it to NULL. */
void chardev_output_close(struct chardev_output **out, enum chardev_rest rest);

/* ---- input ---------------------------------------------------------------------------------- */

struct chardev_input;

/* Makes an input that reads fd, which it takes over unless it fails, as fast as the front end
 * receives. A socket ends when the peer has closed it both ways. */
int chardev_input_open(struct chardev_input **in, struct chardev *c, int fd, chardev_end_fn *ended,
                       lunik_error *err);
/* Goes on reading: the front end may be able to receive. in may be NULL. */
void chardev_input_resume(struct chardev_input *in);
/* Goes on reading after an end. */
void chardev_input_restart(struct chardev_input *in);
void chardev_input_close(struct chardev_input **in);
/* Returns whether the other side of fd is closed for good. */
bool chardev_hung_up(int fd);

/* ---- watch ---------------------------------------------------------------------------------- */

struct chardev_watch;

/* Makes a watch that calls fn on the loop thread while fd, which it takes over unless it fails, is
 * readable. */
int chardev_watch_open(struct chardev_watch **watch, struct chardev *c, int fd,
                       void (*fn)(struct chardev *c), lunik_error *err);
void chardev_watch_close(struct chardev_watch **watch);

/* Returns a second descriptor for fd, one of the process's standard streams, or -1 with errno set.
 * Where the kernel allows it the second one is non-blocking while the first, which other processes
 * share, is not. mode is O_RDONLY or O_WRONLY. */
int chardev_reopen(int fd, int mode);

#endif
