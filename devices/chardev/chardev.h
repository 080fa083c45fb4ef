/*
 * chardev.h: the parts that character devices share: the front end they are attached to, a tap and
 * a log of what it writes, a buffered output and an input on a file descriptor, and a watch on one
 * that accepts connections.
 *
 * Front ends call from any thread that holds the machine lock; file descriptors are read and
 * written on the loop thread alone. Outputs, inputs and watches have memory of their own: libuv
 * closes their handles after the object that opened them is gone.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include "lunik_device.h"

/* The part of a character device that its type does; the interface CHARDEV_KIND. The type
 * "chardev", the parent of all, does the rest. */
struct chardev_kind {
    int (*realize)(lunik_object *o, lunik_error *err); /* optional */
    void (*unrealize)(lunik_object *o);                /* optional */
    /* As in lunik_chardev_ops. The bytes taken are counted, kept and logged by the caller. */
    size_t (*write)(lunik_object *o, const uint8_t *data, size_t size);
    void (*accept_input)(lunik_object *o); /* NULL: there is no input */
};
#define CHARDEV_KIND "chardev-kind"

/* The state of every character device starts with this; its type is a child of "chardev". */
struct chardev {
    const struct chardev_kind *kind;
    const lunik_chardev_front *front; /* NULL while none is attached */
    uint64_t written;                 /* bytes taken from front ends */
    uint64_t dropped;                 /* bytes of those that were lost */
    bool failed;                      /* event "chardev-error" has been sent for this peer */
    struct chardev_tap *tap;          /* NULL: nothing of what is written is kept */
    char *log_path;                   /* NULL: there is no log */
    bool log_append, log_failed;
    uint64_t log_dropped; /* bytes that are missing in the log */
    struct chardev_output *log;
};

size_t chardev_can_receive(const struct chardev *c);
void chardev_receive(struct chardev *c, const uint8_t *data, size_t size);
void chardev_writable(struct chardev *c);
/* Whether the front end takes descriptors, and hands it one. */
bool chardev_takes_fds(const struct chardev *c);
void chardev_receive_fd(struct chardev *c, int fd);
/* The other side has come or gone: sends the event, and notifies the front end. */
void chardev_connection(struct chardev *c, bool open);
/* Counts size bytes as dropped; returns size. */
size_t chardev_drop(struct chardev *c, size_t size);
/* Sends event "chardev-error". */
void chardev_error(struct chardev *c, const char *message);
/* Sends event "chardev-error" the first time that output fails; sys is an errno value. */
void chardev_failed(struct chardev *c, int sys);

lunik_runtime *chardev_runtime(struct chardev *c);

/* Called when an output or input can't go on; sys is an errno value, 0 at the end of input. The
 * callback may close the output or input. */
typedef void chardev_end_fn(struct chardev *c, int sys);

/* ---- tap ------------------------------------------------------------------------------------ */

/* Keeps bytes that go to position c->written, and has the observer notified soon. */
void chardev_tap_add(struct chardev *c, const uint8_t *data, size_t size);
/* Notifies the observer if that is due, and closes the tap if there is one. */
void chardev_tap_close(struct chardev *c);

/* As lunik_chardev_tap_ops and lunik_chardev_buffer_ops have them. */
int chardev_tap_keep(lunik_object *o, uint64_t size, lunik_error *err);
size_t chardev_tap_peek(lunik_object *o, uint64_t position, uint8_t *buf, size_t size);
const uint8_t *chardev_tap_span(lunik_object *o, uint64_t position, size_t *size);
uint64_t chardev_tap_first(lunik_object *o);
uint64_t chardev_tap_total(lunik_object *o);
void chardev_tap_set_notify(lunik_object *o, void (*fn)(void *opaque), void *opaque);

/* ---- log ------------------------------------------------------------------------------------ */

/* Opens the log if c has a path for one. */
int chardev_log_open(struct chardev *c, lunik_error *err);
/* Returns how many of size bytes the log can take now; the front end is notified when there is more
 * room if these are fewer. */
size_t chardev_log_room(struct chardev *c, size_t size);
/* Writes so many bytes at most. */
void chardev_log_add(struct chardev *c, const uint8_t *data, size_t size);
void chardev_log_close(struct chardev *c);

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
/* Makes one to a file at path, which is created if it does not exist, and emptied unless bytes are
 * to be appended; prop: the property that has the path, for the error message. */
int chardev_output_open_file(struct chardev_output **out, struct chardev *c, const char *path,
                             bool append, const char *prop, chardev_end_fn *failed,
                             lunik_error *err);
/* Takes as much as fits in the buffer, and returns how much; the front end is notified when there
 * is room again. */
size_t chardev_output_write(struct chardev_output *out, const uint8_t *data, size_t size);
/* Returns how many of size bytes fit now; the front end is notified when there is more room if
 * these are fewer. */
size_t chardev_output_room(struct chardev_output *out, size_t size);
/* Makes out the log of its device: what it loses is counted and reported as such. */
void chardev_output_is_log(struct chardev_output *out);
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
/* Has fn called when the other side hangs up while the front end can't receive what is left. */
void chardev_input_on_hangup(struct chardev_input *in, void (*fn)(struct chardev *c));
void chardev_input_close(struct chardev_input **in);
/* Returns whether the other side of fd is closed for good. */
bool chardev_hung_up(int fd);

/* ---- watch ---------------------------------------------------------------------------------- */

struct chardev_watch;

/* Makes a watch that calls fn on the loop thread while fd, which it takes over unless it fails, is
 * readable. */
int chardev_watch_open(struct chardev_watch **watch, struct chardev *c, int fd,
                       void (*fn)(struct chardev *c), lunik_error *err);
/* Stops and restarts it. watch may be NULL. */
void chardev_watch_pause(struct chardev_watch *watch);
int chardev_watch_resume(struct chardev_watch *watch);
void chardev_watch_close(struct chardev_watch **watch);

/* Returns a second descriptor for fd, one of the process's standard streams, or -1 with errno set.
 * Where the kernel allows it the second one is non-blocking while the first, which other processes
 * share, is not. mode is O_RDONLY or O_WRONLY. */
int chardev_reopen(int fd, int mode);

#endif
