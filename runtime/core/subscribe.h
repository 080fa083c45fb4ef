/*
 * subscribe.h: lists of subscriptions, and walks along them.
 *
 * A subscription lies in its owner's memory and may leave its list, and be freed, during a walk. So
 * a walk notes the next subscription before it calls one; removing the noted one moves the walk on.
 * Subscriptions added during a walk have a higher serial than the walk's last and are not called.
 *
 * Everything here needs the machine lock. A subscriber may release it while it is called, so
 * several threads can walk along a list at once.
 */
#ifndef CORE_SUBSCRIBE_H
#define CORE_SUBSCRIBE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "lunik_device.h"
#include "misuse.h"

struct sub_walk {
    LIST_ENTRY(sub_walk) link; /* in the list's walks */
    lunik_sub_link *next;
    uint64_t last; /* serial of the last subscription to call */
    pthread_t thread;
};

LIST_HEAD(sub_walks, sub_walk);

struct lunik_sub_list {
    lunik_runtime *rt;
    lunik_sub_link *first, *last;
    _Atomic bool any; /* first is set; read without the lock */
    uint64_t serial;  /* of the last one added */
    struct sub_walks walks;
};

void sub_list_init(struct lunik_sub_list *list, lunik_runtime *rt);
/* Ends all subscriptions, and so the walks under way. */
void sub_list_end(struct lunik_sub_list *list);
/* True on a thread that is calling one of the subscribers. */
bool sub_list_called_here(const struct lunik_sub_list *list);

void sub_add(struct lunik_sub_list *list, lunik_sub_link *sub);
/* Does nothing if sub is in no list. */
void sub_remove(lunik_sub_link *sub);

/* Begins a walk along the subscriptions that are in the list now; the list must outlive it. */
void sub_walk_begin(struct sub_walk *walk, struct lunik_sub_list *list);
/* Returns the next subscription to call, NULL at the end. */
lunik_sub_link *sub_walk_next(struct sub_walk *walk);
void sub_walk_end(struct sub_walk *walk);

/* Calls fn(opaque, ...) of each subscriber in the list, whose type is lunik_KIND_sub. */
#define SUBS_CALL(kind, subs, ...)                                                                 \
    do {                                                                                           \
        struct sub_walk walk;                                                                      \
        lunik_sub_link *at;                                                                        \
                                                                                                   \
        sub_walk_begin(&walk, (subs));                                                             \
        while ((at = sub_walk_next(&walk))) {                                                      \
            lunik_##kind##_sub *sub = lunik_container_of(at, lunik_##kind##_sub, link);            \
                                                                                                   \
            sub->fn(sub->opaque, ##__VA_ARGS__);                                                   \
        }                                                                                          \
        sub_walk_end(&walk);                                                                       \
    } while (0)

/* Any thread. */
static inline bool sub_list_any(const struct lunik_sub_list *list)
{
    return atomic_load_explicit(&list->any, memory_order_relaxed);
}

/* Defines lunik_KIND_subscribe() and lunik_KIND_unsubscribe(). chosen: an expression for the list
 * of the open machine m. */
#define SUBSCRIPTION(kind, chosen)                                                                 \
    void lunik_##kind##_subscribe(lunik_machine *m, lunik_##kind##_sub *sub)                       \
    {                                                                                              \
        NOT_NULL(m);                                                                               \
        NOT_NULL(sub);                                                                             \
        REQUIRE(sub->fn, "sub->fn is NULL");                                                       \
        REQUIRE(!sub->link.list, "sub is subscribed already, or was not zeroed");                  \
        REQUIRE(lunik_locked(m->rt), UNLOCKED);                                                    \
        if (lunik_machine_state(m) != LUNIK_STATE_CLOSED)                                          \
            sub_add(chosen, &sub->link);                                                           \
    }                                                                                              \
                                                                                                   \
    void lunik_##kind##_unsubscribe(lunik_##kind##_sub *sub)                                       \
    {                                                                                              \
        NOT_NULL(sub);                                                                             \
        REQUIRE(!sub->link.list || lunik_locked(sub->link.list->rt), UNLOCKED);                    \
        sub_remove(&sub->link);                                                                    \
    }

#endif
