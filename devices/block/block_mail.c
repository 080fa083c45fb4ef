/* block_mail.c: see block_mail.h. */
#include "block_mail.h"

#include <stdatomic.h>
#include <stdlib.h>

static void deliver(lunik_task *task)
{
    struct block_mail *mail = lunik_container_of(task, struct block_mail, task);
    struct block_channel *c = mail->channel;
    struct block_request *r, *next;

    pthread_mutex_lock(&mail->mutex);
    r = mail->first;
    mail->first = NULL;
    mail->last = &mail->first;
    pthread_mutex_unlock(&mail->mutex);
    if (!r)
        return;
    for (; r; r = next) {
        next = r->next;
        block_complete(r, r->rc);
    }
    block_batch_end(c);
}

static struct block_mail *mail_new(struct block_channel *c)
{
    struct block_mail *mail = calloc(1, sizeof(*mail));

    if (!mail)
        return NULL;
    pthread_mutex_init(&mail->mutex, NULL);
    mail->channel = c;
    mail->last = &mail->first;
    mail->task.fn = deliver;
    atomic_init(&mail->holders, 1);
    return mail;
}

void *block_channel_new(lunik_object *o, size_t size, struct block_mail **mail, lunik_error *err)
{
    struct block_channel *c = calloc(1, size);

    *mail = c ? mail_new(c) : NULL;
    if (*mail)
        return c;
    free(c);
    lunik_fail(err, LUNIK_E_NO_MEMORY, "%s '%s': out of memory", lunik_object_type_name(o),
               lunik_object_id(o));
    return NULL;
}

void block_mail_hold(struct block_mail *mail)
{
    atomic_fetch_add(&mail->holders, 1);
}

void block_mail_drop(struct block_mail *mail)
{
    if (atomic_fetch_sub(&mail->holders, 1) > 1)
        return;
    pthread_mutex_destroy(&mail->mutex);
    free(mail);
}

/* The mutex is held while the task is posted, so that the thread is still there. */
void block_mail_send(struct block_mail *mail, struct block_request *r, int rc)
{
    pthread_mutex_lock(&mail->mutex);
    if (mail->channel) {
        const struct block_place *place = &mail->channel->place;
        bool first = !mail->first;

        r->rc = rc;
        r->next = NULL;
        *mail->last = r;
        mail->last = &r->next;
        if (first)
            place->post(place->opaque, &mail->task);
    }
    pthread_mutex_unlock(&mail->mutex);
}

void block_mail_close(struct block_mail *mail)
{
    const struct block_place *place = &mail->channel->place;

    pthread_mutex_lock(&mail->mutex);
    place->cancel(place->opaque, &mail->task);
    mail->channel = NULL;
    pthread_mutex_unlock(&mail->mutex);
    block_mail_drop(mail);
}
