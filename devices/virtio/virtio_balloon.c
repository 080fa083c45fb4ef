/*
 * virtio_balloon.c: the memory balloon (virtio 1.2, section 5.5): the guest gives up pages when it
 * is asked to, and reports those that are free; the host gets them back.
 *
 * The driver numbers the queues for statistics, hints and reports as the device offers them.
 */
#include <stdatomic.h>
#include <string.h>

#include "virtio_balloon.h"
#include "../types.h"

static const char ram_device[] = "ram";

/* ---- sizes ---------------------------------------------------------------------------------- */

/* Returns the backend of a RAM device, or NULL. */
static lunik_object *backend_of(lunik_object *o)
{
    lunik_value memdev = {0};

    if (strcmp(lunik_object_type_name(o), ram_device) ||
        lunik_object_get(o, "memdev", &memdev, NULL) || memdev.kind != LUNIK_STRING)
        return NULL;
    return lunik_object_find(lunik_object_machine(o), memdev.string);
}

/* Several RAM devices may show parts of one backend, which counts with the first of them. */
static bool is_counted(lunik_machine *m, const lunik_object *until, const lunik_object *backend)
{
    lunik_object *o = lunik_object_next(m, NULL);

    while (o && o != until && backend_of(o) != backend)
        o = lunik_object_next(m, o);
    return o != until;
}

static uint64_t size_of(lunik_machine *m, lunik_object *o)
{
    lunik_object *backend = backend_of(o);
    lunik_value size = {0};

    if (lunik_memory_device_iface(o))
        return lunik_object_get(o, "size", &size, NULL) ? 0 : size.uint;
    if (!backend || is_counted(m, o, backend))
        return 0;
    return lunik_ram_size(lunik_memory_backend_iface(backend)->ram(backend));
}

/* Returns the bytes of RAM that the guest has, the balloon aside. */
static uint64_t memory_of(lunik_machine *m)
{
    uint64_t sum = 0;

    for (lunik_object *o = lunik_object_next(m, NULL); o; o = lunik_object_next(m, o))
        sum += size_of(m, o);
    return sum;
}

static uint64_t bytes(const struct virtio_balloon *s, unsigned reg)
{
    return (uint64_t)balloon_get(s, reg) * BALLOON_PAGE;
}

/* ---- from the guest ------------------------------------------------------------------------- */

static void actual_changed(struct virtio_balloon *s)
{
    lunik_object *o = lunik_state_object(s);
    lunik_machine *m = lunik_object_machine(o);
    uint64_t memory = memory_of(m), balloon = bytes(s, BALLOON_ACTUAL);

    lunik_emit(m, "balloon-change", LUNIK_FIELD_STRING("device", lunik_object_id(o)),
               LUNIK_FIELD_UINT("actual", balloon < memory ? memory - balloon : 0),
               LUNIK_FIELD_UINT("balloon", balloon));
}

/* Pages that the guest has filled with something else than zeros are expected to stay so. */
static void note_poison(struct virtio_balloon *s)
{
    atomic_store(&s->poisoned, balloon_get(s, BALLOON_POISON) != 0);
}

/* The driver writes how many pages it has given up, and how it fills pages that are free. */
static void configured(struct virtio *v, uint32_t offset, uint32_t size)
{
    struct virtio_balloon *s = balloon_of(v);
    uint32_t actual = balloon_get(s, BALLOON_ACTUAL);

    lunik_pci_set_long(s->config, BALLOON_PAGES, (uint32_t)s->pages);
    lunik_pci_set_long(s->config, BALLOON_HINT, atomic_load(&s->hint_id));
    note_poison(s);
    if (offset < BALLOON_ACTUAL + 4 && offset + size > BALLOON_ACTUAL && actual != s->actual) {
        s->actual = actual;
        actual_changed(s);
    }
}

static void serve(struct virtio *v, unsigned queue)
{
    struct virtio_balloon *s = balloon_of(v);

    if (queue == QUEUE_INFLATE)
        balloon_serve_inflate(v, queue);
    else if (queue == QUEUE_DEFLATE)
        balloon_serve_deflate(v, queue);
    else if (queue == QUEUE_STATS)
        balloon_serve_stats(v, queue);
    else if (queue == s->hint_queue)
        balloon_serve_hints(v, queue);
    else
        balloon_serve_reporting(v, queue);
}

static void finish(struct virtio *v, unsigned queue)
{
    if (queue == QUEUE_STATS)
        balloon_finish_stats(v, queue);
    virtio_path_idle(v, queue);
}

/* ---- from the machine ----------------------------------------------------------------------- */

static void set_hint(struct virtio_balloon *s, uint8_t state, uint32_t id)
{
    atomic_store(&s->hint, state);
    atomic_store(&s->hint_id, id);
    lunik_pci_set_long(s->config, BALLOON_HINT, id);
}

/* A guest that has been reset has all of its memory. */
static void reset(struct virtio *v)
{
    struct virtio_balloon *s = balloon_of(v);

    balloon_stats_reset(s);
    s->collected.ram = NULL;
    set_hint(s, HINT_STOPPED, BALLOON_HINT_STOP);
    memset(s->config + BALLOON_ACTUAL, 0, BALLOON_CONFIG - BALLOON_ACTUAL);
    note_poison(s);
    if (s->actual) {
        s->actual = 0;
        actual_changed(s);
    }
}

static const struct virtio_ops ops = {
    .configured = configured,
    .serve = serve,
    .finish = finish,
    .reset = reset,
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_balloon *s = lunik_state(o);

    (void)err;
    s->pci.queue_count = QUEUE_FIRST_OPTION;
    s->pci.segments = 256;
    s->hint_queue = s->free_page_hint ? s->pci.queue_count++ : 0;
    s->reporting_queue = s->reporting ? s->pci.queue_count++ : 0;
    s->pci.virtio.offered = F_STATS_VQ | (s->deflate_on_oom ? F_DEFLATE_ON_OOM : 0) |
                            (s->free_page_hint ? F_FREE_PAGE_HINT : 0) |
                            (s->page_poison ? F_PAGE_POISON : 0) | (s->reporting ? F_REPORTING : 0);
    s->pci.virtio.config = s->config;
    s->pci.virtio.config_size = BALLOON_CONFIG;
    lunik_pci_set_long(s->config, BALLOON_PAGES, (uint32_t)s->pages);
    balloon_stats_init(s);
    return 0;
}

static void unrealize(lunik_object *o)
{
    balloon_stats_fini(lunik_state(o));
}

/* ---- properties ----------------------------------------------------------------------------- */

static int set_pages(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct virtio_balloon *s = lunik_state(o);

    (void)err;
    s->pages = value->uint;
    lunik_pci_set_long(s->config, BALLOON_PAGES, (uint32_t)s->pages);
    virtio_config_changed(&s->pci.virtio);
    return 0;
}

static int set_polling(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct virtio_balloon *s = lunik_state(o);

    (void)err;
    s->polling = value->uint;
    balloon_stats_poll(s);
    return 0;
}

/* Numbers of requests begin where those that mean something end (section 5.5.6.6). */
static int set_hinting(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct virtio_balloon *s = lunik_state(o);

    if (!s->hint_queue)
        return lunik_fail(err, LUNIK_E_STATE,
                          "virtio-balloon-pci: hinting: the device does not offer it (want "
                          "free-page-hint on)");
    if (value->boolean) {
        s->last_id = s->last_id < BALLOON_HINT_FIRST ? BALLOON_HINT_FIRST : s->last_id + 1;
        atomic_store(&s->hinted, 0);
        set_hint(s, HINT_REQUESTED, s->last_id);
    } else {
        set_hint(s, HINT_DONE, BALLOON_HINT_DONE);
    }
    virtio_config_changed(&s->pci.virtio);
    return 0;
}

static void get_hinting(lunik_object *o, lunik_value *out)
{
    const struct virtio_balloon *s = lunik_state(o);
    uint8_t hint = atomic_load(&s->hint);

    *out = (lunik_value){.kind = LUNIK_BOOL,
                         .boolean = hint == HINT_REQUESTED || hint == HINT_STARTED};
}

static void get_actual(lunik_object *o, lunik_value *out)
{
    const struct virtio_balloon *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_UINT, .uint = balloon_get(s, BALLOON_ACTUAL)};
}

static void get_memory(lunik_object *o, lunik_value *out)
{
    *out = (lunik_value){.kind = LUNIK_UINT, .uint = memory_of(lunik_object_machine(o))};
}

#define GETTER(name, field)                                                                        \
    static void get_##name(lunik_object *o, lunik_value *out)                                      \
    {                                                                                              \
        const struct virtio_balloon *s = lunik_state(o);                                           \
                                                                                                   \
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = atomic_load(&s->field)};                  \
    }
GETTER(hinted, hinted)
GETTER(returned, returned)
GETTER(updated, updated)
#define STAT_GETTER(symbol, property, text) GETTER(symbol, stats[STAT_##symbol])
BALLOON_STAT_MAP(STAT_GETTER)

#define FIELD(name) offsetof(struct virtio_balloon, name)
#define SWITCH(name_, field, value, text)                                                          \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_BOOL, .doc = (text), .offset = FIELD(field),           \
        .def = (value)                                                                             \
    }
#define NUMBER(name_, getter, text)                                                                \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_UINT, .doc = (text), .flags = LUNIK_PROP_READONLY,     \
        .get = (getter)                                                                            \
    }
#define STAT(symbol, property, text) NUMBER(property, get_##symbol, text),

static const lunik_prop props[] = {
    SWITCH("deflate-on-oom", deflate_on_oom, false,
           "Let the guest take pages back before it runs out of memory."),
    SWITCH("free-page-hint", free_page_hint, false,
           "Offer hints of free pages, which are asked for with hinting."),
    SWITCH("page-poison", page_poison, true,
           "Let the guest say how it fills pages that are free; those it fills stay."),
    SWITCH("free-page-reporting", reporting, false,
           "Offer reports of free pages, which go back to the host."),
    {
        .name = "num-pages",
        .kind = LUNIK_PROP_UINT,
        .doc = "Pages of 4 KiB that the guest is asked to give up.",
        .offset = FIELD(pages),
        .flags = LUNIK_PROP_LIVE,
        .max = UINT32_MAX,
        .set = set_pages,
    },
    NUMBER("actual", get_actual, "Pages of 4 KiB that it has given up."),
    NUMBER("memory", get_memory, "Bytes of RAM that the guest has, the balloon aside."),
    {
        .name = "guest-stats-polling-interval",
        .kind = LUNIK_PROP_UINT,
        .doc = "Seconds between questions for the guest's statistics; 0: never.",
        .offset = FIELD(polling),
        .flags = LUNIK_PROP_LIVE,
        .max = UINT32_MAX,
        .set = set_polling,
    },
    {
        .name = "hinting",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Ask the guest for hints of free pages: until they are written they count as not "
               "written for the client \"migration\". False once it has named all, or was told "
               "to use them again.",
        .offset = FIELD(hinting),
        .flags = LUNIK_PROP_LIVE,
        .get = get_hinting,
        .set = set_hinting,
    },
    NUMBER("hinted", get_hinted, "Bytes of these hints."),
    NUMBER("returned", get_returned, "Bytes that have been given back to the host in all."),
    NUMBER("last-update", get_updated,
           "When the guest's statistics came, in ns of the machine's clock; 0: never. What it has "
           "not reported is 2^64 - 1."),
    BALLOON_STAT_MAP(STAT){0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    struct virtio_balloon *s = state;

    s->pages = balloon_get(s, BALLOON_PAGES);
    s->collected.ram = NULL;
    note_poison(s);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(struct virtio_balloon, config),
    LUNIK_STATE(struct virtio_balloon, actual),
    LUNIK_STATE(struct virtio_balloon, poll),
    LUNIK_STATE(struct virtio_balloon, hint, .limit = HINT_DONE + 1),
    LUNIK_STATE(struct virtio_balloon, hint_id),
    LUNIK_STATE(struct virtio_balloon, last_id),
    LUNIK_STATE_ARRAY(struct virtio_balloon, stats),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-balloon-pci",
    .version = 1,
    .size = sizeof(struct virtio_balloon),
    .fields = state_fields,
    .loaded = loaded,
};

static const struct virtio_pci_class class = {
    .id = 5, .class_code = 0x00ff00, .ops = &ops, .realize = realize, .unrealize = unrealize};

const lunik_type virtio_balloon_pci_type = {
    VIRTIO_PCI_TYPE("virtio-balloon-pci", &class),
    .doc = "Has the guest give up memory, which goes back to the host (virtio balloon).",
    .size = sizeof(struct virtio_balloon),
    .props = props,
    .state = &state_table,
};
