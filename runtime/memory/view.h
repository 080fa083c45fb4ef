/*
 * view.h: flat views: how they are rendered, made from the one before, compared and published;
 * private to the files of this folder.
 */
#ifndef RUNTIME_MEMORY_VIEW_H
#define RUNTIME_MEMORY_VIEW_H

#include <stdatomic.h>

#include "core/text.h"
#include "io.h"

/* ---- ranges --------------------------------------------------------------------------------- */

enum {
    RANGE_READONLY = 1,
    RANGE_DIRECT = 2, /* reads come from RAM */
    RANGE_NONVOLATILE = 4,
};

struct flat_range {
    struct span span;
    lunik_region *region;
    uint64_t offset; /* in the region */
    unsigned flags;
};

struct range_list {
    struct flat_range *items;
    size_t count, capacity;
};

/* A range that a region would show if no other region hid it. */
struct leaf {
    struct flat_range range;
    size_t rank; /* the lowest wins */
};

struct leaf_list {
    struct leaf *items;
    size_t count, capacity;
};

/* Buffers of commits, kept from one commit to the next unless they have become large. */
struct scratch {
    struct range_list rendered, pending;
    struct leaf_list leaves; /* of the window being rendered */
    lunik_region **kids;     /* stack of the children being rendered, all levels */
    size_t kid_capacity;
};
void scratch_free(struct scratch *scratch);

/* Appends the ranges that root shows in the window. */
int render_window(lunik_region *root, struct span window, struct range_list *out, lunik_error *err);
int ranges_append(struct range_list *list, const struct flat_range *ranges, size_t count,
                  lunik_error *err);
/* Joins mergeable neighbours among the items from index `from` on. */
void ranges_merge(struct range_list *list, size_t from);
bool range_equal(const struct flat_range *a, const struct flat_range *b);

/* ---- views ---------------------------------------------------------------------------------- */

struct view_chunk;

struct flat_view {
    struct rcu_head rcu;
    uint64_t serial;         /* one more than that of the view before it */
    struct view_chunk *dead; /* chunks to free with it */
    size_t count;
    struct {
        uint64_t first;
        struct view_chunk *chunk;
    } top[];
};

struct view_cursor {
    const struct flat_view *view;
    size_t chunk, index;
};

/* Returns the range at the cursor, NULL past the last. */
const struct flat_range *cursor_range(const struct view_cursor *c);
void cursor_next(struct view_cursor *c);
/* Returns a cursor at the first range that does not end before address. */
struct view_cursor view_seek(const struct flat_view *view, uint64_t address);
/* Returns the range that contains address, or NULL. */
const struct flat_range *view_find(const struct flat_view *view, uint64_t address);

struct flat_view *view_new_empty(void);
/* A span in which two successive views differ; no range of either crosses its borders. */
struct view_change {
    struct span span;
    struct view_cursor old, new; /* at the first range in it, or after it, of each view */
    size_t first, end;           /* its new ranges: indexes among the rendered ones */
};
/* Makes the view after old: applies the changes, which are in ascending order and take their ranges
 * from scratch->rendered, and shares the chunks that no change touches. One of the two views has to
 * be retired next. */
int view_make_next(struct flat_view *old, struct scratch *scratch, struct view_change *changes,
                   size_t count, struct flat_view **out, lunik_error *err);
/* Frees a view after a grace period, with those of its chunks that are not in `stays`: the view
 * before or after it, or NULL. */
void view_retire(struct flat_view *view, struct flat_view *stays);

/* view_diff.c: walks the two views of a change in step. */
enum view_diff_kind { DIFF_GONE, DIFF_NEW, DIFF_SAME };
struct view_diff {
    struct view_cursor old, new;
    uint64_t last;
};
/* Starts a walk. reverse: swaps the new view and the old one. */
struct view_diff view_diff_start(const struct view_change *c, bool reverse);
/* Returns the next range of either view, NULL at the end; one that both have comes once. */
const struct flat_range *view_diff_next(struct view_diff *d, enum view_diff_kind *kind);

/* ---- causes --------------------------------------------------------------------------------- */

/* cause.c: causes of changes. */
struct cause_ref;
struct cause_map {
    struct cause_span *items; /* by address, disjoint */
    size_t count, capacity;
};
void cause_unref(struct cause_ref *ref); /* ref may be NULL */
/* Record the calling thread's cause stack. */
void cause_of_transaction(struct memory_core *core);
void cause_of_region(lunik_region *r);
void cause_map_clear(struct cause_map *map);
/* Append one cause, or a cause and the causes that led to it. */
void cause_add(struct text *t, const lunik_cause *c);
void cause_add_chain(struct text *t, const lunik_cause *c);

/* ---- of address spaces with the same root ---------------------------------------------------- */

/* The part of address spaces that those with the same root share. */
struct view_root {
    struct rcu_head rcu;
    struct memory_core *core;
    lunik_region *root;
    struct flat_view *_Atomic view; /* published */
    lunik_space *spaces;
    struct view_root *next;
    bool fresh;           /* made in the open transaction: to be rendered even if that is undone */
    struct span *windows; /* to be rendered */
    size_t window_count, window_capacity;
    struct span all; /* stands in for windows when there is no memory for them */
    bool all_valid;
    /* while a commit is under way */
    struct flat_view *update; /* the next view; NULL: no change */
    struct view_change *changed;
    size_t changed_count, changed_capacity;
    struct cause_map causes;
    struct io_view io;
};

static inline struct flat_view *view_root_current(const struct view_root *vr)
{
    return atomic_load_explicit(&vr->view, memory_order_acquire);
}

void view_root_mark(struct view_root *vr, struct span window);
void view_root_unmark(struct view_root *vr);
static inline bool view_root_marked(const struct view_root *vr)
{
    return vr->window_count || vr->all_valid;
}
/* Renders the marked windows into vr->update and vr->changed. */
int view_root_prepare(struct view_root *vr, lunik_error *err);
/* Records the cause of the prepared update. */
void causes_record(struct view_root *vr);
void view_root_publish(struct view_root *vr);
void view_root_discard(struct view_root *vr);

#endif
