/*
 * virtio_pci.c: virtio devices on the PCI bus (virtio 1.2, section 4.1): the life of the function
 * that each of them is. BAR 1 has the vectors, BAR 4 the registers, where QEMU has them.
 *
 * Not modelled: the legacy interface, shared memory regions, virtual functions.
 */
#include "virtio_pci_internal.h"

#include "../ports.h"
#include "../types.h"

#define VIRTIO_VENDOR    0x1af4
#define VIRTIO_DEVICE    0x1040
#define VIRTIO_SUBSYSTEM 0x1100

enum { QUEUE_ENTRIES = 256, QUEUE_SEGMENTS = 130, VECTORS_MAX = 128, PBA_AT = 0x800 };

static const struct virtio_pci_class *class_of(const lunik_object *o)
{
    return lunik_object_type(o)->data;
}

/* ---- reset ---------------------------------------------------------------------------------- */

/* A queue with requests in flight is reset when these are done. */
static void reset(lunik_object *o)
{
    struct virtio_pci *s = lunik_state(o);

    virtio_set_status(&s->virtio, 0);
    lunik_pci_function_reset(&s->function);
    virtio_pci_irq_update(s);
}

/* ---- making --------------------------------------------------------------------------------- */

static uint64_t features_of(const struct virtio_pci *s)
{
    return VIRTIO_F_VERSION_1 | (s->indirect ? VIRTIO_F_INDIRECT_DESC : 0) |
           (s->event_idx ? VIRTIO_F_EVENT_IDX : 0) | (s->packed ? VIRTIO_F_RING_PACKED : 0) |
           (s->queue_reset ? VIRTIO_F_RING_RESET : 0) |
           (s->notification_data ? VIRTIO_F_NOTIFICATION_DATA : 0);
}

static uint16_t entries_of(struct virtio_pci *s, unsigned queue)
{
    lunik_object *o = lunik_state_object(s);
    const struct virtio_pci_class *class = class_of(o);

    return class->entries ? class->entries(o, queue) : s->queue_size;
}

static int make_queues(struct virtio_pci *s, lunik_error *err)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < s->queue_count; i++) {
        rc = lunik_pci_dma_new(&s->function, &s->dma[i], err);
        if (!rc)
            rc = virtqueue_init(&s->queues[i], s->dma[i], entries_of(s, i), s->segments, err);
        if (!rc && s->keeps)
            rc = virtqueue_note_buffers(&s->queues[i], err);
    }
    return rc;
}

static void free_queues(struct virtio_path *path)
{
    struct virtio_pci *s = lunik_container_of(path, struct virtio_pci, path);

    for (unsigned i = 0; i < s->queue_count; i++) {
        virtqueue_fini(&s->queues[i]);
        lunik_pci_dma_free(&s->function, s->dma[i]);
        s->dma[i] = NULL;
    }
    lunik_defer_cancel(lunik_machine_runtime(lunik_object_machine(path->object)), &s->pin);
}

static int add_capability(struct virtio_pci *s, uint8_t type, uint32_t area, unsigned extra,
                          unsigned *out, lunik_error *err)
{
    lunik_pci_function *f = &s->function;
    unsigned size = CAP_EXTRA + extra, at = 0;
    int rc = lunik_pci_capability_add(f, LUNIK_PCI_CAP_VENDOR, 0, size, &at, err);

    if (rc)
        return rc;
    f->initial[at + 2] = (uint8_t)size;
    f->initial[at + CAP_TYPE] = type;
    f->initial[at + CAP_BAR] = type == CAP_PCI ? 0 : REGISTERS_BAR;
    lunik_pci_set_long(f->initial, at + CAP_OFFSET, area);
    lunik_pci_set_long(f->initial, at + CAP_LENGTH, type == CAP_PCI ? 0 : AREA_SIZE);
    *out = at;
    return 0;
}

/* The structure sizes are those of the areas: what is beyond the registers reads as zeros. */
static int add_capabilities(struct virtio_pci *s, lunik_error *err)
{
    lunik_pci_function *f = &s->function;
    unsigned at = 0;
    int rc = add_capability(s, CAP_COMMON, COMMON_AREA, 0, &at, err);

    if (!rc)
        rc = add_capability(s, CAP_ISR, ISR_AREA, 0, &at, err);
    if (!rc && s->virtio.config_size)
        rc = add_capability(s, CAP_DEVICE, DEVICE_AREA, 0, &at, err);
    if (!rc)
        rc = add_capability(s, CAP_NOTIFY, NOTIFY_AREA, 4, &at, err);
    if (rc)
        return rc;
    lunik_pci_set_long(f->initial, at + CAP_EXTRA, NOTIFY_MULTIPLIER);
    rc = add_capability(s, CAP_PCI, 0, 4, &s->window, err);
    if (rc)
        return rc;
    f->writable[s->window + CAP_BAR] = 0xff;
    lunik_pci_set_long(f->writable, s->window + CAP_OFFSET, UINT32_MAX);
    lunik_pci_set_long(f->writable, s->window + CAP_LENGTH, UINT32_MAX);
    lunik_pci_set_long(f->writable, s->window + CAP_EXTRA, UINT32_MAX);
    return 0;
}

static int add_vectors(struct virtio_pci *s, lunik_error *err)
{
    int64_t count = s->vectors < 0 ? (int64_t)s->queue_count + 1 : s->vectors;

    return count ? lunik_pci_msix_init(&s->function, (unsigned)count, MSIX_BAR, 0, PBA_AT, 0, err)
                 : 0;
}

static void mastering(lunik_pci_function *f, bool open)
{
    struct virtio_pci *s = lunik_container_of(f, struct virtio_pci, function);

    if (open)
        virtio_path_wake(&s->path);
}

static int make_registers(struct virtio_pci *s, lunik_object *o, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO,
        .name = "virtio-pci",
        .size = REGISTERS_SIZE,
        .ops = &virtio_pci_registers,
        .opaque = s,
    };
    int rc = device_region_new(&s->registers, o, config, err);

    for (unsigned i = 0; !rc && i < s->queue_count; i++)
        rc = lunik_region_add_eventfd(s->registers, NOTIFY_AREA + NOTIFY_MULTIPLIER * i, 0, false,
                                      0, virtio_path_fd(&s->path, i), err);
    return rc ? rc
              : lunik_pci_bar_init(&s->function, REGISTERS_BAR, LUNIK_PCI_BAR_MEM64_PREFETCH,
                                   s->registers, err);
}

static void init_function(struct virtio_pci *s, lunik_object *o)
{
    const struct virtio_pci_class *class = class_of(o);
    lunik_pci_function *f = &s->function;

    lunik_pci_function_init(f, o, VIRTIO_VENDOR, (uint16_t)(VIRTIO_DEVICE + class->id), 1,
                            class->class_code);
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_VENDOR_ID, VIRTIO_VENDOR);
    lunik_pci_set_word(f->initial, LUNIK_PCI_SUBSYSTEM_ID, VIRTIO_SUBSYSTEM);
    f->initial[LUNIK_PCI_INTERRUPT_PIN] = 1;
    f->written = virtio_pci_written;
    f->reading = virtio_pci_reading;
    f->mastering = mastering;
    f->removing = s->removing;
    s->virtio.ops = class->ops;
    s->virtio.transport = &virtio_pci_transport;
    s->virtio.opaque = s;
    s->virtio.offered |= features_of(s);
    s->virtio.queues = s->queues;
    s->virtio.queue_count = s->queue_count;
    virtio_init(&s->virtio);
    s->path.virtio = &s->virtio;
    s->path.object = o;
    s->path.released = free_queues;
    virtio_pci_irq_init(s);
}

/* Takes everything but the device itself apart; the path frees the queues when it is closed. */
static void take_apart(struct virtio_pci *s)
{
    lunik_pci_device_remove(&s->function);
    if (s->path.queues)
        virtio_path_close(&s->path);
    else
        free_queues(&s->path);
    device_region_drop(&s->registers);
}

static int build(struct virtio_pci *s, lunik_object *o, lunik_error *err)
{
    int rc;

    init_function(s, o);
    rc = make_queues(s, err);
    if (!rc)
        rc = virtio_path_open(&s->path, s->iothread, err);
    if (!rc)
        rc = make_registers(s, o, err);
    if (!rc)
        rc = add_vectors(s, err);
    if (!rc)
        rc = add_capabilities(s, err);
    if (!rc)
        rc = lunik_pci_function_level_reset_init(&s->function, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc)
        take_apart(s);
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    const struct virtio_pci_class *class = class_of(o);
    struct virtio_pci *s = lunik_state(o);
    int rc;

    s->queue_size = QUEUE_ENTRIES;
    s->segments = QUEUE_SEGMENTS;
    rc = class->realize(o, err);
    if (rc)
        return rc;
    rc = build(s, o, err);
    if (rc && class->unrealize)
        class->unrealize(o);
    return rc;
}

static void unrealize(lunik_object *o)
{
    const struct virtio_pci_class *class = class_of(o);

    take_apart(lunik_state(o));
    if (class->unrealize)
        class->unrealize(o);
}

static void run_state(lunik_object *o, bool running)
{
    struct virtio_pci *s = lunik_state(o);

    virtio_path_run(&s->path, running);
}

static void drain(lunik_object *o, lunik_drain *d)
{
    struct virtio_pci *s = lunik_state(o);

    virtio_path_drain(&s->path, d);
}

static void undrain(lunik_object *o)
{
    struct virtio_pci *s = lunik_state(o);

    virtio_path_undrain(&s->path);
}

/* ---- properties ----------------------------------------------------------------------------- */

#define FEATURE_PROP(name_, field, value, text)                                                    \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_BOOL, .doc = (text),                                   \
        .offset = offsetof(struct virtio_pci, field), .def = (value)                               \
    }

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct virtio_pci, NULL),
    {
        .name = "iothread",
        .kind = LUNIK_PROP_LINK,
        .doc = "The thread that serves its queues; without one the loop's does.",
        .offset = offsetof(struct virtio_pci, iothread),
        .link = LUNIK_IFACE_iothread,
    },
    {
        .name = "vectors",
        .kind = LUNIK_PROP_INT,
        .doc = "Vectors of MSI-X, at most 128; 0: none, only the pin; -1: one for each queue and "
               "one for the configuration.",
        .offset = offsetof(struct virtio_pci, vectors),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = VECTORS_MAX,
    },
    FEATURE_PROP("indirect-desc", indirect, true, "Offer descriptors in tables of their own."),
    FEATURE_PROP("event-idx", event_idx, true, "Offer notifications and interrupts on demand."),
    FEATURE_PROP("packed", packed, false, "Offer packed rings."),
    FEATURE_PROP("queue-reset", queue_reset, true, "Offer the reset of single queues."),
    FEATURE_PROP("notification-data", notification_data, false,
                 "Offer notifications that carry the position in the ring."),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    virtio_pci_irq_update(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct virtio_pci, function, &lunik_pci_function_state),
    LUNIK_STATE_STRUCT(struct virtio_pci, virtio, &virtio_state),
    LUNIK_STATE(struct virtio_pci, queue_count, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE_COUNTED_STRUCTS(struct virtio_pci, queues, queue_count, &virtqueue_state),
    LUNIK_STATE_COUNTED(struct virtio_pci, queue_vectors, queue_count),
    LUNIK_STATE(struct virtio_pci, config_vector),
    LUNIK_STATE(struct virtio_pci, offered_select),
    LUNIK_STATE(struct virtio_pci, features_select),
    LUNIK_STATE(struct virtio_pci, queue_select),
    LUNIK_STATE(struct virtio_pci, isr),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-pci",
    .version = 1,
    .size = sizeof(struct virtio_pci),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type virtio_pci_type = {
    .name = "virtio-pci",
    .doc = "A virtio device on the PCI bus.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct virtio_pci),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .run_state = run_state,
    .drain = drain,
    .undrain = undrain,
    .state = &state_table,
};
