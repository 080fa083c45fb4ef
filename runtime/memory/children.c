/*
 * children.c: a container's children, in a list and by address in a treap.
 *
 * The list is sorted by priority when it is read, not when it changes: children may be added and
 * removed by the thousand without a reader in between.
 *
 * Every node knows the last address of its subtree, so that the children that overlap a span are
 * found without visiting the others.
 */
#include "memory.h"

static uint64_t last_address(const lunik_region *r)
{
    return add_saturated(r->s.address, r->s.last);
}

/* Returns a node's priority in the treap's heap order: its sequence number, well mixed. */
static uint64_t weight(const lunik_region *r)
{
    uint64_t x = r->s.seq * 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 27);
}

/* Whether a hides b where they overlap. */
static bool above(const lunik_region *a, const lunik_region *b)
{
    return a->s.priority != b->s.priority ? a->s.priority > b->s.priority : a->s.seq > b->s.seq;
}

static bool before(const lunik_region *a, const lunik_region *b)
{
    return a->s.address != b->s.address ? a->s.address < b->s.address : above(a, b);
}

static void refresh(lunik_region *t)
{
    t->subtree_last = last_address(t);
    if (t->left && t->left->subtree_last > t->subtree_last)
        t->subtree_last = t->left->subtree_last;
    if (t->right && t->right->subtree_last > t->subtree_last)
        t->subtree_last = t->right->subtree_last;
}

/* Divides t into the nodes before and after key. */
static void split(lunik_region *t, const lunik_region *key, lunik_region **less,
                  lunik_region **more)
{
    if (!t) {
        *less = *more = NULL;
        return;
    }
    if (before(t, key)) {
        split(t->right, key, &t->right, more);
        *less = t;
    } else {
        split(t->left, key, less, &t->left);
        *more = t;
    }
    refresh(t);
}

/* Joins two treaps; all of a is before all of b. */
static lunik_region *join(lunik_region *a, lunik_region *b)
{
    if (!a || !b)
        return a ? a : b;
    if (weight(a) > weight(b)) {
        a->right = join(a->right, b);
        refresh(a);
        return a;
    }
    b->left = join(a, b->left);
    refresh(b);
    return b;
}

static lunik_region *insert(lunik_region *t, lunik_region *node)
{
    if (!t || weight(node) > weight(t)) {
        split(t, node, &node->left, &node->right);
        t = node;
    } else if (before(node, t)) {
        t->left = insert(t->left, node);
    } else {
        t->right = insert(t->right, node);
    }
    refresh(t);
    return t;
}

static lunik_region *erase(lunik_region *t, const lunik_region *node)
{
    if (t == node)
        return join(t->left, t->right);
    if (before(node, t))
        t->left = erase(t->left, node);
    else
        t->right = erase(t->right, node);
    refresh(t);
    return t;
}

void children_insert(lunik_region *parent, lunik_region *child)
{
    lunik_region *first = parent->children;

    parent->unsorted = first && (parent->unsorted || !above(child, first));
    child->next_child = first;
    child->child_link = &parent->children;
    if (first)
        first->child_link = &child->next_child;
    parent->children = child;
    parent->tree = insert(parent->tree, child);
}

void children_remove(lunik_region *parent, lunik_region *child)
{
    *child->child_link = child->next_child;
    if (child->next_child)
        child->next_child->child_link = child->child_link;
    child->next_child = NULL;
    parent->tree = erase(parent->tree, child);
    child->left = child->right = NULL;
}

/* Removes from *list the regions at its front that are in order, and returns them. */
static lunik_region *take_run(lunik_region **list)
{
    lunik_region *run = *list, *end = run;

    while (end && end->next_child && above(end, end->next_child))
        end = end->next_child;
    if (end) {
        *list = end->next_child;
        end->next_child = NULL;
    }
    return run;
}

static lunik_region **merge_runs(lunik_region *a, lunik_region *b, lunik_region **out)
{
    while (a || b) {
        lunik_region **from = !b || (a && above(a, b)) ? &a : &b;

        *out = *from;
        *from = (*from)->next_child;
        out = &(*out)->next_child;
    }
    *out = NULL;
    return out;
}

/* Merges neighbouring runs until there is only one. */
static void sort(lunik_region *parent)
{
    unsigned pairs;

    do {
        lunik_region *rest = parent->children, **out = &parent->children;

        for (pairs = 0; rest; pairs++) {
            lunik_region *a = take_run(&rest), *b = take_run(&rest);

            out = merge_runs(a, b, out);
        }
    } while (pairs > 1);
    for (lunik_region **link = &parent->children; *link; link = &(*link)->next_child)
        (*link)->child_link = link;
    parent->unsorted = false;
}

lunik_region *children_first(lunik_region *parent)
{
    if (parent->unsorted)
        sort(parent);
    return parent->children;
}

void children_move(lunik_region *parent, lunik_region *child, uint64_t address, uint64_t last)
{
    parent->tree = erase(parent->tree, child);
    child->left = child->right = NULL;
    child->s.address = address;
    child->s.last = last;
    parent->tree = insert(parent->tree, child);
}

static bool visit(lunik_region *t, struct span s, bool (*fn)(void *opaque, lunik_region *child),
                  void *opaque)
{
    for (; t && t->subtree_last >= s.first; t = t->right) {
        if (!visit(t->left, s, fn, opaque))
            return false;
        if (t->s.address > s.last)
            return true;
        if (last_address(t) >= s.first && !fn(opaque, t))
            return false;
    }
    return true;
}

bool children_visit(const lunik_region *parent, struct span s,
                    bool (*fn)(void *opaque, lunik_region *child), void *opaque)
{
    return visit(parent->tree, s, fn, opaque);
}
