/* block_mail.h: answers from other threads to the thread of a channel. */
#ifndef BLOCK_BLOCK_MAIL_H
#define BLOCK_BLOCK_MAIL_H

#include <pthread.h>

#include "block.h"

/* Held by its channel and by everything that may send to it. */
struct block_mail {
    pthread_mutex_t mutex;
    struct block_channel *channel; /* NULL: it has been closed */
    struct block_request *first, **last;
    lunik_task task;
    _Atomic unsigned holders;
};

/* Makes a channel of o, zeroed memory of that size that begins with a struct block_channel, with
 * mail of its own, which is held once. NULL: no memory. */
void *block_channel_new(lunik_object *o, size_t size, struct block_mail **mail, lunik_error *err);
void block_mail_hold(struct block_mail *mail);
void block_mail_drop(struct block_mail *mail);
/* Answers r on the thread of its channel, unless that has been closed. Any thread. */
void block_mail_send(struct block_mail *mail, struct block_request *r, int rc);
/* The channel is being closed: what is sent from now on is dropped. On the channel's thread. */
void block_mail_close(struct block_mail *mail);

#endif
