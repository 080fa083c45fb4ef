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

/* Returns one that is held once, or NULL: no memory. */
struct block_mail *block_mail_new(struct block_channel *c);
void block_mail_hold(struct block_mail *mail);
void block_mail_drop(struct block_mail *mail);
/* Answers r on the thread of its channel, unless that has been closed. Any thread. */
void block_mail_send(struct block_mail *mail, struct block_request *r, int rc);
/* The channel is being closed: what is sent from now on is dropped. On the channel's thread. */
void block_mail_close(struct block_mail *mail);

#endif
