/*
 * slirp_library.h: the functions of libslirp. The library is loaded when it is first needed:
 * programs without such a network have neither its start-up time nor its memory.
 */
#ifndef NET_SLIRP_LIBRARY_H
#define NET_SLIRP_LIBRARY_H

#include <slirp/libslirp.h>

#include "lunik_device.h"

/* X(name) of slirp_name. */
#define SLIRP_FUNCTIONS(X)                                                                         \
    X(new)                                                                                         \
    X(cleanup)                                                                                     \
    X(input)                                                                                       \
    X(pollfds_fill)                                                                                \
    X(pollfds_poll)                                                                                \
    X(add_hostfwd)

struct slirp_library {
#define SLIRP_MEMBER(name) __typeof__(slirp_##name) *name;
    SLIRP_FUNCTIONS(SLIRP_MEMBER)
#undef SLIRP_MEMBER
};

/* The library's data is shared by its instances: one thread at a time calls it. */
void slirp_enter(void);
void slirp_leave(void);

/* Returns the library's functions, which stay; NULL with *err: it can't be loaded. */
const struct slirp_library *slirp_library(lunik_error *err);

#endif
