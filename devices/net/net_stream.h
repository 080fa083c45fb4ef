/*
 * net_stream.h: frames in a stream of bytes, each after its length in four bytes, the highest
 * first, as QEMU's socket back ends have them. It knows no descriptor.
 */
#ifndef NET_NET_STREAM_H
#define NET_NET_STREAM_H

#include "net.h"

enum { NET_STREAM_LENGTH = 4, NET_STREAM_MAX = NETDEV_HEADER + NETDEV_FRAME_MAX };

/* Zeroed; net_stream_init() takes the memory. */
struct net_stream {
    uint8_t *in, *out;
    size_t taken, filled; /* of `in`: what has come and was not consumed */
    size_t sent, to_send; /* of `out`: the rest of a frame that was sent in part */
};

int net_stream_init(struct net_stream *s, lunik_error *err);
void net_stream_fini(struct net_stream *s);
/* Forgets what is in it: for a new peer. */
void net_stream_reset(struct net_stream *s);

/* Where the next bytes of the peer go, and how many fit; never none while net_stream_next() has no
 * frame. */
uint8_t *net_stream_room(struct net_stream *s, size_t *size);
void net_stream_filled(struct net_stream *s, size_t size);

/* 1: there is a frame, until net_stream_consume(); 0: not yet; LUNIK_E_INVALID: the peer does not
 * keep to the format. */
int net_stream_next(const struct net_stream *s, const uint8_t **frame, size_t *size,
                    lunik_error *err);
void net_stream_consume(struct net_stream *s);

/* Puts a frame's length before its pieces; `all` has room for one more than count. */
unsigned net_stream_frame(uint8_t length[NET_STREAM_LENGTH], struct iovec *all,
                          const struct iovec *iov, unsigned count);
/* Keeps what is left of a frame's pieces after `done` bytes of them have been sent. */
void net_stream_keep(struct net_stream *s, const struct iovec *all, unsigned count, size_t done);

#endif
