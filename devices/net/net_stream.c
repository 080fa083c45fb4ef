/* net_stream.c: see net_stream.h. */
#include <stdlib.h>
#include <string.h>

#include "net_stream.h"

enum { IN_SIZE = 256 * 1024, OUT_SIZE = NET_STREAM_LENGTH + NET_STREAM_MAX };

int net_stream_init(struct net_stream *s, lunik_error *err)
{
    s->in = malloc(IN_SIZE);
    s->out = malloc(OUT_SIZE);
    net_stream_reset(s);
    if (s->in && s->out)
        return 0;
    net_stream_fini(s);
    return lunik_fail(err, LUNIK_E_NO_MEMORY, "no memory for a connection's frames");
}

void net_stream_fini(struct net_stream *s)
{
    free(s->in);
    free(s->out);
    s->in = s->out = NULL;
}

void net_stream_reset(struct net_stream *s)
{
    s->taken = s->filled = s->sent = s->to_send = 0;
}

/* ---- input ---------------------------------------------------------------------------------- */

uint8_t *net_stream_room(struct net_stream *s, size_t *size)
{
    if (s->taken && IN_SIZE - s->taken < NET_STREAM_LENGTH + NET_STREAM_MAX) {
        memmove(s->in, s->in + s->taken, s->filled - s->taken);
        s->filled -= s->taken;
        s->taken = 0;
    }
    *size = IN_SIZE - s->filled;
    return s->in + s->filled;
}

void net_stream_filled(struct net_stream *s, size_t size)
{
    s->filled += size;
}

static size_t length_at(const uint8_t *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

int net_stream_next(const struct net_stream *s, const uint8_t **frame, size_t *size,
                    lunik_error *err)
{
    const uint8_t *at = s->in + s->taken;
    size_t there = s->filled - s->taken;

    if (there < NET_STREAM_LENGTH)
        return 0;
    *size = length_at(at);
    if (*size > NET_STREAM_MAX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "the peer announces a frame of %zu bytes (want at most %d)", *size,
                          NET_STREAM_MAX);
    *frame = at + NET_STREAM_LENGTH;
    return there - NET_STREAM_LENGTH >= *size;
}

void net_stream_consume(struct net_stream *s)
{
    s->taken += NET_STREAM_LENGTH + length_at(s->in + s->taken);
    if (s->taken == s->filled)
        s->taken = s->filled = 0;
}

/* ---- output --------------------------------------------------------------------------------- */

unsigned net_stream_frame(uint8_t length[NET_STREAM_LENGTH], struct iovec *all,
                          const struct iovec *iov, unsigned count)
{
    size_t size = net_iov_size(iov, count);

    for (unsigned i = 0; i < NET_STREAM_LENGTH; i++)
        length[i] = (uint8_t)(size >> (24 - 8 * i));
    all[0] = (struct iovec){length, NET_STREAM_LENGTH};
    memcpy(all + 1, iov, count * sizeof(*iov));
    return count + 1;
}

void net_stream_keep(struct net_stream *s, const struct iovec *all, unsigned count, size_t done)
{
    s->to_send = net_iov_copy(s->out, OUT_SIZE, all, count);
    s->sent = done;
}
