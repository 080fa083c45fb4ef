/* test_memory_commit.c: what listeners hear of changes, transactions that are taken back, and what
 * a commit costs. */
#include <time.h>

#include "memory_rig.h"

/* ---- listeners ------------------------------------------------------------------------------ */

struct recorder {
    lunik_listener listener;
    char tag;
    int refuse; /* fails that many commits */
};

static struct transcript heard;

static void hear(lunik_listener *l, const char *what, const lunik_section *s)
{
    struct recorder *r = lunik_container_of(l, struct recorder, listener);

    if (s)
        note(&heard, "%c%s %s@%" PRIx64 " ", r->tag, what, s->region->name, s->address);
    else
        note(&heard, "%c%s ", r->tag, what);
}

static void hear_begin(lunik_listener *l)
{
    hear(l, "[", NULL);
}
static void hear_add(lunik_listener *l, const lunik_section *s)
{
    hear(l, "+", s);
}
static void hear_del(lunik_listener *l, const lunik_section *s)
{
    hear(l, "-", s);
}
static void hear_nop(lunik_listener *l, const lunik_section *s)
{
    hear(l, "=", s);
}
static int hear_commit(lunik_listener *l, lunik_error *e)
{
    struct recorder *r = lunik_container_of(l, struct recorder, listener);

    hear(l, "]", NULL);
    if (r->refuse > 0 && r->refuse--)
        return lunik_fail(e, LUNIK_E_NO_SPACE, "no room for that");
    return 0;
}

static struct recorder recorder(char tag, int priority, lunik_space *s)
{
    return (struct recorder){.tag = tag,
                             .listener = {.name = "recorder",
                                          .priority = priority,
                                          .space = s,
                                          .begin = hear_begin,
                                          .region_add = hear_add,
                                          .region_del = hear_del,
                                          .region_nop = hear_nop,
                                          .commit = hear_commit}};
}

static void test_listeners(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *b = new_region("b", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *c = new_region("c", LUNIK_REGION_IO, 0x1000, &plain_ops);
    struct recorder low, high, all, late;
    lunik_space *s, *twin;

    must("space", lunik_space_new(m, "one", root, &s, &err));
    low = recorder('L', 1, s);
    high = recorder('H', 2, s);
    add(root, 0, a, 0);
    add(root, 0x1000, b, 0);
    clear(&heard);
    must("listener", lunik_listener_add(m, &high.listener, &err));
    must("listener", lunik_listener_add(m, &low.listener, &err));
    check_transcript("listeners: late registration replays", &heard,
                     "H[ H+ a@0 H+ b@1000 H] L[ L+ a@0 L+ b@1000 L] ");
    lunik_transaction_begin(m);
    add(root, 0x800, c, 1);
    must("off", lunik_region_set_enabled(a, false, &err));
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(b, 0x3000, &err));
    must("commit", lunik_transaction_commit(m, &err));
    check_transcript("listeners: nothing before the outermost commit", &heard, "");
    must("commit", lunik_transaction_commit(m, &err));
    check_transcript("listeners: order", &heard,
                     "L[ H[ H- a@0 L- a@0 H- b@1000 L- b@1000 "
                     "L+ c@800 H+ c@800 L+ b@3000 H+ b@3000 L] H] ");
    must("on", lunik_region_set_enabled(a, true, &err));
    check_transcript("listeners: an unchanged neighbour", &heard,
                     "L[ H[ L+ a@0 H+ a@0 L= c@800 H= c@800 L] H] ");
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    must("on", lunik_region_set_enabled(a, true, &err));
    must("commit", lunik_transaction_commit(m, &err));
    must("hidden", lunik_region_set_priority(a, -3, &err));
    check_transcript("listeners: no difference, no calls", &heard, "");
    all = recorder('A', 0, NULL);
    must("listener", lunik_listener_add(m, &all.listener, &err));
    clear(&heard);
    must("space", lunik_space_new(m, "two", root, &twin, &err));
    check_true("listeners: a space with the same root shares its view", twin->vr == s->vr);
    check_transcript("listeners: a new space", &heard,
                     "A[ L[ H[ A+ a@0 A+ c@800 A+ b@3000 A] L] H] ");
    must("del", lunik_region_del(b, &err));
    check_transcript("listeners: in every space", &heard,
                     "A[ L[ H[ H- b@3000 L- b@3000 A- b@3000 A- b@3000 A] L] H] ");
    lunik_space_free(twin);
    check_transcript("listeners: a space goes", &heard, "A[ L[ H[ A- a@0 A- c@800 A] L] H] ");
    late = recorder('X', 9, s);
    late.refuse = 1;
    check_int("listeners: refuses from the start", lunik_listener_add(m, &late.listener, &err),
              LUNIK_E_NO_SPACE);
    check_transcript("listeners: and is unwound", &heard,
                     "X[ X+ a@0 X+ c@800 X] X[ X- a@0 X- c@800 X] ");
    lunik_listener_del(&high.listener);
    check_transcript("listeners: unwound when removed", &heard, "H[ H- a@0 H- c@800 H] ");
    lunik_listener_del(&low.listener);
    lunik_listener_del(&all.listener);
    drop(a);
    drop(c);
    lunik_region_unref(b);
    lunik_space_free(s);
    lunik_region_unref(root);
}

/* ---- transactions --------------------------------------------------------------------------- */

static int mutate_rc;
static void mutate(lunik_listener *l, const lunik_section *s)
{
    mutate_rc = lunik_region_set_enabled(s->region, false, NULL);
}

static void test_rollback(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_region *b = new_region("b", LUNIK_REGION_IO, 0x1000, &plain_ops);
    lunik_listener meddler = {.name = "meddler", .region_add = mutate};
    struct recorder first, second;
    lunik_space *s, *young;
    char before[256];

    must("space", lunik_space_new(m, "one", root, &s, &err));
    add(root, 0, a, 0);
    first = recorder('1', 1, s);
    second = recorder('2', 2, s);
    must("listener", lunik_listener_add(m, &first.listener, &err));
    must("listener", lunik_listener_add(m, &second.listener, &err));
    snprintf(before, sizeof(before), "%s", shown(s));
    clear(&heard);
    second.refuse = 1;
    check_int("rollback: a listener refuses", lunik_region_add(root, 0x4000, b, 0, false, &err),
              LUNIK_E_NO_SPACE);
    check_string("rollback: its words", err.message, "no room for that");
    check_transcript("rollback: everybody hears the reverse", &heard,
                     "1[ 2[ 1+ b@4000 2+ b@4000 1] 2] 1[ 2[ 2- b@4000 1- b@4000 1] 2] ");
    check_string("rollback: nothing shows", shown(s), before);
    check_true("rollback: not added", !lunik_region_parent(b));
    lunik_transaction_begin(m);
    must("move", lunik_region_set_offset(a, 0x100, &err));
    must("move", lunik_region_set_offset(a, 0x200, &err));
    must("size", lunik_region_set_size(a, 0x2000, &err));
    must("add", lunik_region_add(root, 0x8000, b, 3, false, &err));
    must("del", lunik_region_del(a, &err));
    must("add", lunik_region_add(b, 0, a, 7, false, &err));
    second.refuse = 1;
    check_int("rollback: a large one", lunik_transaction_commit(m, &err), LUNIK_E_NO_SPACE);
    check_string("rollback: the view", shown(s), before);
    check_true("rollback: the tree", lunik_region_parent(a) == root &&
                                         lunik_region_size(a) == 0x1000 &&
                                         lunik_region_offset(a) == 0 && !lunik_region_parent(b) &&
                                         lunik_region_priority(a) == 0);
    check_true("rollback: children",
               lunik_region_next_child(root, NULL) == a && !lunik_region_next_child(root, a));
    clear(&heard);
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    must("space", lunik_space_new(m, "young", b, &young, &err));
    lunik_transaction_abort(m);
    check_string("abort: undone", shown(s), before);
    check_transcript("abort: nothing was heard of it", &heard, "1[ 2[ 1] 2] ");
    check_string("abort: a space made meanwhile stays", shown(young), "b 0-fff");
    lunik_transaction_begin(m);
    must("off", lunik_region_set_enabled(a, false, &err));
    lunik_transaction_begin(m);
    lunik_transaction_abort(m);
    check_int("abort: takes the outer one along", lunik_transaction_commit(m, &err), LUNIK_E_STATE);
    check_string("abort: undone as a whole", shown(s), before);
    check_int("transactions: none open", lunik_transaction_commit(m, &err), LUNIK_E_STATE);
    meddler.space = s;
    must("listener", lunik_listener_add(m, &meddler, &err));
    check_int("transactions: not from a listener", mutate_rc, LUNIK_E_STATE);
    lunik_listener_del(&meddler);
    lunik_listener_del(&first.listener);
    lunik_listener_del(&second.listener);
    drop(a);
    lunik_space_free(young);
    lunik_region_unref(b);
    lunik_space_free(s);
    lunik_region_unref(root);
}

/* A space of a root that another one has already: nothing is rendered, but all of it is reported.
 */
static void test_refused_space(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, 0x10000, NULL);
    lunik_region *a = add(root, 0, new_region("a", LUNIK_REGION_IO, 0x1000, &plain_ops), 0);
    struct recorder r = recorder('R', 0, NULL);
    lunik_space *one, *two = NULL;

    must("space", lunik_space_new(m, "one", root, &one, &err));
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    r.refuse = 1;
    check_int("refused space", lunik_space_new(m, "two", root, &two, &err), LUNIK_E_NO_SPACE);
    check_transcript("refused space: goes again", &heard, "R[ R+ a@0 R] R[ R- a@0 R] ");
    check_true("refused space: is not there", !two && one->vr->spaces == one && !one->next_same);
    must("space", lunik_space_new(m, "two", root, &two, &err));
    lunik_listener_del(&r.listener);
    lunik_space_free(two);
    drop(a);
    lunik_space_free(one);
    lunik_region_unref(root);
}

/* A machine is closed in the middle of a transaction; what is left of it can't be changed. */
static void test_closed(void)
{
    static const lunik_machine_config config = {
        .name = "closed", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_region_config part = {.kind = LUNIK_REGION_CONTAINER, .name = "part", .size = 0x1000};
    lunik_machine *closed;
    lunik_region *r;

    must("machine", lunik_machine_new(rt, &config, &closed, &err));
    must("region", lunik_region_new(closed, &part, &r, &err));
    lunik_transaction_begin(closed);
    lunik_transaction_begin(closed);
    must("add", lunik_region_add(lunik_space_root(closed->memory_space), 0, r, 0, false, &err));
    must("size", lunik_region_set_size(r, 0x2000, &err));
    lunik_machine_close(closed);
    check_true("closed: what was open is undone",
               !lunik_region_parent(r) && lunik_region_size(r) == 0x1000);
    check_int("closed: no change", lunik_region_set_size(r, 0x2000, &err), LUNIK_E_GONE);
    lunik_region_unref(r);
}

/* ---- cost ----------------------------------------------------------------------------------- */

enum { DIMMS = 3000 };

static size_t chunks_in_common(const struct flat_view *a, const struct flat_view *b)
{
    size_t same = 0;

    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            same += a->top[i].chunk == b->top[j].chunk;
    return same;
}

/* A change copies what is around it and shares the rest, whatever the number of regions. */
static void test_sharing(void)
{
    lunik_region *root = new_region("root", LUNIK_REGION_CONTAINER, LUNIK_SIZE_MAX, NULL);
    lunik_region **dimms = malloc(DIMMS * sizeof(*dimms));
    struct recorder r;
    const struct flat_view *before;
    lunik_space *s;
    size_t count;

    must("space", lunik_space_new(m, "many", root, &s, &err));
    for (unsigned i = 0; i < DIMMS; i++) /* some adjoin, some do not */
        dimms[i] = add(root, (uint64_t)i * 0x1000 + (i % 7 ? 0 : 0x100),
                       new_region("dimm", LUNIK_REGION_IO, i % 3 ? 0x1000 : 0xe00, &plain_ops), 0);
    before = view_root_current(s->vr);
    count = before->count;
    check_true("sharing: chunks are neither tiny nor huge",
               count > DIMMS / 32 && count < DIMMS / 8);
    r = recorder('R', 0, s);
    must("listener", lunik_listener_add(m, &r.listener, &err));
    clear(&heard);
    must("off", lunik_region_set_enabled(dimms[DIMMS / 2 + 2], false, &err));
    check_true("sharing: all other chunks",
               chunks_in_common(before, view_root_current(s->vr)) + 2 >= count);
    check_true("sharing: listeners hear of the neighbours at most", strlen(heard.text) < 80);
    r.listener.region_del = NULL; /* heard would overflow */
    lunik_listener_del(&r.listener);
    for (unsigned i = 0; i < DIMMS; i++)
        drop(dimms[(i * 7919u) % DIMMS]);
    check_uint("sharing: empty in the end", view_root_current(s->vr)->count, 0);
    free(dimms);
    lunik_space_free(s);
    lunik_region_unref(root);
}

static _Atomic bool released;

static void on_release(void *opaque)
{
    released = true;
}

/* A thread that holds the lock is a reader all the time, except at the start of a change. */
static void test_reclaim(void)
{
    lunik_region_config config = {
        .kind = LUNIK_REGION_CONTAINER, .name = "old", .size = 1, .release = on_release};
    lunik_region *other = add(lunik_space_root(m->memory_space), 0x1000,
                              new_region("other", LUNIK_REGION_IO, 4, &plain_ops), 0);
    time_t give_up = time(NULL) + 10;
    lunik_region *old;

    must("old", lunik_region_new(m, &config, &old, &err));
    lunik_region_unref(old);
    while (!released && time(NULL) < give_up)
        must("change", lunik_region_set_enabled(other, !lunik_region_enabled(other), &err));
    check_true("reclaim: what is gone is freed while others change", released);
    drop(other);
}

int main(void)
{
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    test_listeners();
    test_rollback();
    test_refused_space();
    test_closed();
    test_sharing();
    test_reclaim();
    lunik_runtime_free(rt);
    return check_result();
}
