/*
 * nvdimm_dsm.h: the functions that a guest's _DSM and _FIT methods call, apart from their bus. Call
 * and answer share a page of guest memory, which is hostile: the caller hands in a copy.
 */
#ifndef MEMORY_NVDIMM_DSM_H
#define MEMORY_NVDIMM_DSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NVDIMM_DSM_PAGE = 4096 };

/* A call: handle, revision and function, 4 bytes each, then the argument. */
enum { DSM_ARGUMENT = 12 };
/* An answer: its length, this included, and the status, 4 bytes each, then what was asked for. */
enum { DSM_STATUS = 4, DSM_RESULT = 8 };

/* Handles that are no NVDIMM's. */
enum { DSM_HANDLE_ROOT = 0, DSM_HANDLE_FIT = 0x10000 };

enum { DSM_REVISION = 1 };

enum {
    DSM_FUNCTIONS = 0,  /* answers with a bit for each function in place of the status */
    DSM_READ_FIT = 1,   /* of DSM_HANDLE_FIT: offset -> bytes, none at the end */
    DSM_LABEL_SIZE = 4, /* -> size, most bytes to transfer at once */
    DSM_GET_LABELS = 5, /* offset, length -> bytes */
    DSM_SET_LABELS = 6, /* offset, length, bytes */
};

enum {
    DSM_SUCCESS = 0,
    DSM_UNSUPPORTED = 1,
    DSM_NO_DEVICE = 2,
    DSM_INVALID = 3,
    DSM_FIT_CHANGED = 0x100, /* while it was read: to be read again from the start */
};

struct nvdimm_labels {
    uint8_t *data;
    uint64_t size; /* 0: none */
    bool readonly;
};

struct nvdimm_dsm;
struct nvdimm_dsm_ops {
    /* Finds the labels of an NVDIMM by its handle; false: there is no such NVDIMM. */
    bool (*find)(struct nvdimm_dsm *d, uint32_t handle, struct nvdimm_labels *out);
    /* Returns the size of the NFIT's structures. */
    size_t (*fit_size)(struct nvdimm_dsm *d);
    /* Copies size bytes of them, from offset on. */
    void (*fit_read)(struct nvdimm_dsm *d, size_t offset, uint8_t *out, size_t size);
};
struct nvdimm_dsm {
    const struct nvdimm_dsm_ops *ops;
    bool fit_changed; /* since the guest read its start */
};

/* Carries out the call in a page, and puts the answer in its place. Returns the answer's length. */
size_t nvdimm_dsm_call(struct nvdimm_dsm *d, uint8_t page[NVDIMM_DSM_PAGE]);

#endif
