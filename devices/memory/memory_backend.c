/*
 * memory_backend.c: host memory for a machine's RAM and DIMMs: the part that all backends share.
 *
 * Properties are named as in QEMU. Not modelled: prealloc-context.
 */
#include "memory_backend.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../types.h"

enum {
    HOST_NODE_MAX = 1023,
    WORD_BITS = 8 * sizeof(unsigned long),
    MASK_BITS = HOST_NODE_MAX + 2, /* the kernel takes one less */
};

static const char *const policy_names[] = {"default", "preferred", "bind", "interleave", NULL};

/* ---- placement on host NUMA nodes ----------------------------------------------------------- */

/* For the system calls, which are made without libnuma: that examines the host whenever a process
 * loads it. */
typedef unsigned long node_mask[MASK_BITS / WORD_BITS + 1];

static bool in_mask(const unsigned long *mask, uint64_t node)
{
    return node <= HOST_NODE_MAX && mask[node / WORD_BITS] >> node % WORD_BITS & 1;
}

static int check_host_nodes(lunik_object *o, lunik_error *err)
{
    const struct memory_backend *b = lunik_state(o);
    node_mask allowed = {0};

    if (syscall(SYS_get_mempolicy, NULL, allowed, (unsigned long)MASK_BITS, NULL,
                (unsigned long)MPOL_F_MEMS_ALLOWED))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "%s: policy: this host can't bind memory to NUMA nodes",
                          lunik_object_type_name(o));
    for (size_t i = 0; i < b->host_nodes.count; i++)
        if (!in_mask(allowed, b->host_nodes.items[i]))
            return lunik_fail(err, LUNIK_E_NOT_FOUND,
                              "%s: host-nodes: %" PRIu64 " is not a memory node of this host",
                              lunik_object_type_name(o), b->host_nodes.items[i]);
    return 0;
}

static int check_policy(lunik_object *o, lunik_error *err)
{
    const struct memory_backend *b = lunik_state(o);
    const char *type = lunik_object_type_name(o);

    if (b->policy == POLICY_DEFAULT && b->host_nodes.count)
        return lunik_fail(
            err, LUNIK_E_INVALID,
            "%s: host-nodes: must be empty for policy default (want policy preferred, "
            "bind or interleave)",
            type);
    if (b->policy != POLICY_DEFAULT && !b->host_nodes.count)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: host-nodes: must be set for policy %s", type,
                          policy_names[b->policy]);
    return b->policy == POLICY_DEFAULT ? 0 : check_host_nodes(o, err);
}

static int bind_memory(lunik_object *o, lunik_error *err)
{
    const struct memory_backend *b = lunik_state(o);
    node_mask mask = {0};
    int mode;

    switch (b->policy) {
    case POLICY_PREFERRED:
        mode = b->host_nodes.count > 1 ? MPOL_PREFERRED_MANY : MPOL_PREFERRED;
        break;
    case POLICY_BIND:
        mode = MPOL_BIND;
        break;
    case POLICY_INTERLEAVE:
        mode = MPOL_INTERLEAVE;
        break;
    default:
        return 0;
    }
    for (size_t i = 0; i < b->host_nodes.count; i++)
        mask[b->host_nodes.items[i] / WORD_BITS] |= 1ul << b->host_nodes.items[i] % WORD_BITS;
    if (syscall(SYS_mbind, lunik_ram_host(b->ram), b->size, (long)mode, mask,
                (unsigned long)MASK_BITS, (unsigned long)(MPOL_MF_STRICT | MPOL_MF_MOVE)))
        return lunik_fail_errno(err, errno, "%s: policy: can't bind memory to host NUMA nodes",
                                lunik_object_type_name(o));
    return 0;
}

/* ---- preallocation -------------------------------------------------------------------------- */

static void prealloc_progress(void *opaque, uint64_t done, uint64_t total)
{
    lunik_object *o = opaque;
    lunik_machine *m = lunik_object_machine(o);
    lunik_runtime *rt = lunik_machine_runtime(m);

    lunik_emit(m, "prealloc-progress", LUNIK_FIELD_STRING("object", lunik_object_id(o)),
               LUNIK_FIELD_UINT("done", done), LUNIK_FIELD_UINT("total", total));
    /* The loop does not run while its thread waits for this. */
    if (lunik_on_loop_thread(rt))
        lunik_deliver_events(rt);
}

static int preallocate(lunik_object *o, lunik_error *err)
{
    const struct memory_backend *b = lunik_state(o);

    return lunik_ram_prealloc(b->ram, (unsigned)b->prealloc_threads,
                              lunik_machine_runtime(lunik_object_machine(o)), prealloc_progress, o,
                              err);
}

/* ---- mapping -------------------------------------------------------------------------------- */

int memory_backend_page_size(lunik_object *o, int fd, uint64_t *out, lunik_error *err)
{
    enum { HUGETLBFS = 0x958458f6 };
    struct statfs fs;

    if (fstatfs(fd, &fs))
        return lunik_fail_errno(err, errno, "%s: can't look at its file system",
                                lunik_object_type_name(o));
    *out = (uint64_t)(fs.f_type == HUGETLBFS ? fs.f_bsize : sysconf(_SC_PAGESIZE));
    return 0;
}

/* Both advices are hints: a kernel without them ignores them. */
static void advise_merge(const struct memory_backend *b)
{
    madvise(lunik_ram_host(b->ram), b->size, b->merge ? MADV_MERGEABLE : MADV_UNMERGEABLE);
}

static void advise_dump(const struct memory_backend *b)
{
    madvise(lunik_ram_host(b->ram), b->size, b->dump ? MADV_DODUMP : MADV_DONTDUMP);
}

int memory_backend_map(lunik_object *o, lunik_ram_config *config, lunik_error *err)
{
    struct memory_backend *b = lunik_state(o);
    const char *type = lunik_object_type_name(o);
    int rc;

    if (b->prealloc && !b->reserve)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: reserve: off can't go with prealloc on", type);
    rc = check_policy(o, err);
    if (rc)
        return rc;
    config->name = lunik_object_id(o);
    config->size = b->size;
    config->share = b->share;
    config->noreserve = !b->reserve;
    config->rt = lunik_machine_runtime(lunik_object_machine(o));
    rc = lunik_ram_new(config, &b->ram, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "%s", type);
    if (b->merge) /* a new mapping is not merged, and is dumped */
        advise_merge(b);
    if (!b->dump)
        advise_dump(b);
    rc = bind_memory(o, err);
    if (!rc && b->prealloc) {
        rc = preallocate(o, err);
        if (rc)
            lunik_fail_prefix(err, rc, "%s", type);
        else
            lunik_ram_pin(b->ram);
    }
    if (rc)
        memory_backend_unmap(o);
    return rc;
}

void memory_backend_unmap(lunik_object *o)
{
    struct memory_backend *b = lunik_state(o);

    lunik_ram_unref(b->ram);
    b->ram = NULL;
}

/* ---- properties ----------------------------------------------------------------------------- */

static int set_merge(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct memory_backend *b = lunik_state(o);

    b->merge = value->boolean;
    advise_merge(b);
    return 0;
}

static int set_dump(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct memory_backend *b = lunik_state(o);

    b->dump = value->boolean;
    advise_dump(b);
    return 0;
}

#define FIELD(name) offsetof(struct memory_backend, name)

static const lunik_prop props[] = {
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes; a multiple of the page size.",
        .offset = FIELD(size),
        .flags = LUNIK_PROP_REQUIRED,
        .min = 1,
    },
    {
        .name = "share",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Map the memory so that other processes can share it.",
        .offset = FIELD(share),
    },
    {
        .name = "prealloc",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Have the host provide every page before the object exists; refused if "
               "they are more than its free memory and swap, the limit of this process's "
               "control group, or the file system can take.",
        .offset = FIELD(prealloc),
    },
    {
        .name = "prealloc-threads",
        .kind = LUNIK_PROP_UINT,
        .doc = "Threads that preallocate.",
        .offset = FIELD(prealloc_threads),
        .def = 1,
        .min = 1,
        .max = 256,
    },
    {
        .name = "merge",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Let the host merge equal pages (KSM).",
        .offset = FIELD(merge),
        .flags = LUNIK_PROP_LIVE,
        .def = true,
        .set = set_merge,
    },
    {
        .name = "dump",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Put the memory into core dumps of this process.",
        .offset = FIELD(dump),
        .flags = LUNIK_PROP_LIVE,
        .def = true,
        .set = set_dump,
    },
    {
        .name = "reserve",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Reserve swap space or huge pages at once.",
        .offset = FIELD(reserve),
        .def = true,
    },
    {
        .name = "host-nodes",
        .kind = LUNIK_PROP_UINT_LIST,
        .doc = "Host NUMA nodes that policy is about.",
        .offset = FIELD(host_nodes),
        .max = HOST_NODE_MAX,
    },
    {
        .name = "policy",
        .kind = LUNIK_PROP_ENUM,
        .doc = "How pages are placed on host-nodes.",
        .offset = FIELD(policy),
        .choices = policy_names,
    },
    {0},
};

static lunik_ram *get_ram(lunik_object *o)
{
    struct memory_backend *b = lunik_state(o);
    return b->ram;
}

static const lunik_memory_backend_ops backend_ops = {.ram = get_ram};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(memory_backend, &backend_ops),
    {0},
};

const lunik_type memory_backend_type = {
    .name = "memory-backend",
    .doc = "Host memory for a machine's RAM or a DIMM.",
    .flags = LUNIK_TYPE_ABSTRACT,
    .size = sizeof(struct memory_backend),
    .props = props,
    .ifaces = ifaces,
    .unrealize = memory_backend_unmap,
};
