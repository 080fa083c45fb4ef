/* virtio_blk_pci.c: the block device of virtio on the PCI bus. */
#include "../types.h"
#include "virtio_blk.h"
#include "virtio_pci.h"

struct virtio_blk_pci {
    struct virtio_pci pci;
    struct virtio_blk blk;
};

static struct virtio_blk *blk_of(struct virtio *v)
{
    struct virtio_pci *pci = lunik_container_of(v, struct virtio_pci, virtio);

    return &lunik_container_of(pci, struct virtio_blk_pci, pci)->blk;
}

static void start(struct virtio *v)
{
    virtio_blk_start(blk_of(v));
}

static void serve(struct virtio *v, unsigned queue)
{
    virtio_blk_serve(v, blk_of(v), queue);
}

static void finish(struct virtio *v, unsigned queue)
{
    virtio_blk_finish(v, blk_of(v), queue);
}

static void reset(struct virtio *v)
{
    virtio_blk_reset(blk_of(v));
}

static void configured(struct virtio *v, uint32_t offset, uint32_t size)
{
    (void)offset, (void)size;
    virtio_blk_configured(blk_of(v));
}

static const struct virtio_ops ops = {
    .start = start,
    .serve = serve,
    .finish = finish,
    .reset = reset,
    .configured = configured,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_blk_pci *s = lunik_state(o);
    int rc;

    s->blk.virtio = &s->pci.virtio;
    s->blk.object = o;
    rc = virtio_blk_open(&s->blk, err);
    if (rc)
        return rc;
    s->pci.queue_count = (uint32_t)s->blk.num_queues;
    s->pci.queue_size = (uint16_t)s->blk.queue_size;
    s->pci.segments = virtio_blk_segments(&s->blk);
    s->pci.keeps = virtio_blk_keeps(&s->blk);
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct virtio_blk_pci *s = lunik_state(o);

    virtio_blk_close(&s->blk);
}

static const struct virtio_pci_class class = {
    .id = 2,
    .class_code = 0x010000,
    .ops = &ops,
    .realize = realize,
    .unrealize = unrealize,
};

/* ---- properties ----------------------------------------------------------------------------- */

#define UINT_PROP(name_, field, value, text)                                                       \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_UINT, .doc = (text),                                   \
        .offset = offsetof(struct virtio_blk_pci, blk.field), .def = (value)                       \
    }
#define SIZE_PROP(name_, field, text)                                                              \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_SIZE, .doc = (text),                                   \
        .offset = offsetof(struct virtio_blk_pci, blk.field)                                       \
    }
#define BOOL_PROP(name_, field, text)                                                              \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_BOOL, .doc = (text),                                   \
        .offset = offsetof(struct virtio_blk_pci, blk.field), .def = true                          \
    }
#define ERROR_PROP(name_, field, value, text)                                                      \
    {                                                                                              \
        .name = (name_), .kind = LUNIK_PROP_ENUM, .doc = (text),                                   \
        .offset = offsetof(struct virtio_blk_pci, blk.field), .choices = error_names,              \
        .def = (value)                                                                             \
    }

static const char *const error_names[] = {"report", "ignore", "stop", "enospc", NULL};

static const lunik_prop props[] = {
    {
        .name = "drive",
        .kind = LUNIK_PROP_LINK,
        .doc = "The back end that has its contents.",
        .offset = offsetof(struct virtio_blk_pci, blk.drive),
        .flags = LUNIK_PROP_REQUIRED,
        .link = LUNIK_IFACE_blockdev,
    },
    {
        .name = "serial",
        .kind = LUNIK_PROP_STRING,
        .doc = "The serial number that the guest sees, at most 20 characters.",
        .offset = offsetof(struct virtio_blk_pci, blk.serial),
    },
    {
        .name = "bootindex",
        .kind = LUNIK_PROP_INT,
        .doc = "Its place in the firmware's boot order, the lowest first; -1: none.",
        .offset = offsetof(struct virtio_blk_pci, blk.bootindex),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = INT32_MAX,
    },
    UINT_PROP("num-queues", num_queues, 1, "Queues, 1 to 64; one thread serves all of them."),
    UINT_PROP("queue-size", queue_size, 256, "Entries of a queue: a power of two, 4 to 1024."),
    SIZE_PROP("logical_block_size", logical,
              "The smallest block that can be read: a power of two, 512 to 32768; 0: the drive's."),
    SIZE_PROP(
        "physical_block_size", physical,
        "The smallest block that is written without reading: a power of two; 0: the drive's."),
    BOOL_PROP("write-cache", write_cache,
              "Writes are done when the host has them, and stored by a flush."),
    BOOL_PROP("config-wce", config_wce, "The guest may switch the write cache off and on."),
    BOOL_PROP("discard", discard, "Offer discards."),
    BOOL_PROP("write-zeroes", write_zeroes, "Offer writes of zeros."),
    ERROR_PROP("rerror", rerror, VIRTIO_BLK_REPORT,
               "When a read has failed: report it to the guest, ignore it, or stop: pause the "
               "machine, and do it again when it goes on; enospc: stop if the host has no space, "
               "else report."),
    ERROR_PROP("werror", werror, VIRTIO_BLK_ENOSPC, "The same for all that is not a read."),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    struct virtio_blk_pci *s = state;

    virtio_blk_update(&s->blk);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio_blk_pci, blk.saved_writeback),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-blk",
    .version = 1,
    .size = sizeof(struct virtio_blk_pci),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type virtio_blk_pci_type = {
    VIRTIO_PCI_TYPE("virtio-blk-pci", &class),
    .doc = "A disk: the block device of virtio 1.2 on the PCI bus.",
    .size = sizeof(struct virtio_blk_pci),
    .props = props,
    .state = &state_table,
};
