/*
 * nvdimm_dsm.c: the functions that a guest's _DSM and _FIT methods call.
 *
 * Functions of an NVDIMM: Intel's "NVDIMM DSM Interface Example" 1.3 (UUID
 * 4309ac30-0d11-11e4-9191-0800200c9a66). Page and reading of the FIT: QEMU's
 * docs/specs/acpi_nvdimm.rst.
 */
#include "nvdimm_dsm.h"

#include <immintrin.h>
#include <string.h>

/* Bytes of labels that a call or an answer has room for. */
enum { TRANSFER_MOST = NVDIMM_DSM_PAGE - DSM_ARGUMENT - 8 };

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Concludes an answer with `size` bytes of result. */
static size_t answer(uint8_t *page, uint32_t status, size_t size)
{
    put32(page, (uint32_t)(DSM_RESULT + size));
    put32(page + DSM_STATUS, status);
    return DSM_RESULT + size;
}

/* ---- labels --------------------------------------------------------------------------------- */

static size_t label_size(uint8_t *page, const struct nvdimm_labels *labels)
{
    put32(page + DSM_RESULT, (uint32_t)labels->size);
    put32(page + DSM_RESULT + 4, TRANSFER_MOST);
    return answer(page, DSM_SUCCESS, 8);
}

/* Checks the range in a call; offset and length may be anything. */
static bool is_range(const struct nvdimm_labels *labels, uint32_t offset, uint32_t length)
{
    return length <= TRANSFER_MOST && length <= labels->size && offset <= labels->size - length;
}

static size_t get_labels(uint8_t *page, const struct nvdimm_labels *labels)
{
    uint32_t offset = get32(page + DSM_ARGUMENT), length = get32(page + DSM_ARGUMENT + 4);

    if (!is_range(labels, offset, length))
        return answer(page, DSM_INVALID, 0);
    memcpy(page + DSM_RESULT, labels->data + offset, length);
    return answer(page, DSM_SUCCESS, length);
}

/* Writes through the CPU's caches: behind them there may be persistent memory. */
static void persist(const uint8_t *data, size_t size)
{
    enum { LINE = 64 };

    for (size_t i = 0; i < size; i += LINE)
        _mm_clflush(data + i);
    if (size)
        _mm_clflush(data + size - 1);
    _mm_sfence();
}

static size_t set_labels(uint8_t *page, const struct nvdimm_labels *labels)
{
    uint32_t offset = get32(page + DSM_ARGUMENT), length = get32(page + DSM_ARGUMENT + 4);

    if (labels->readonly)
        return answer(page, DSM_UNSUPPORTED, 0);
    if (!is_range(labels, offset, length))
        return answer(page, DSM_INVALID, 0);
    memcpy(labels->data + offset, page + DSM_ARGUMENT + 8, length);
    persist(labels->data + offset, length);
    return answer(page, DSM_SUCCESS, 0);
}

static uint32_t functions_of(const struct nvdimm_labels *labels)
{
    if (!labels->size)
        return 0;
    return 1u << DSM_FUNCTIONS | 1u << DSM_LABEL_SIZE | 1u << DSM_GET_LABELS |
           (labels->readonly ? 0 : 1u << DSM_SET_LABELS);
}

static size_t call_nvdimm(struct nvdimm_dsm *d, uint8_t *page, uint32_t handle, uint32_t function)
{
    struct nvdimm_labels labels = {0};
    bool found = d->ops->find(d, handle, &labels);

    if (function == DSM_FUNCTIONS)
        return answer(page, functions_of(&labels), 0);
    if (!found)
        return answer(page, DSM_NO_DEVICE, 0);
    if (!labels.size)
        return answer(page, DSM_UNSUPPORTED, 0);
    switch (function) {
    case DSM_LABEL_SIZE:
        return label_size(page, &labels);
    case DSM_GET_LABELS:
        return get_labels(page, &labels);
    case DSM_SET_LABELS:
        return set_labels(page, &labels);
    default:
        return answer(page, DSM_UNSUPPORTED, 0);
    }
}

/* ---- root ----------------------------------------------------------------------------------- */

/* The guest reads in pieces; a change in between makes it start again. */
static size_t read_fit(struct nvdimm_dsm *d, uint8_t *page)
{
    uint32_t offset = get32(page + DSM_ARGUMENT);
    size_t all = d->ops->fit_size(d), size = NVDIMM_DSM_PAGE - DSM_RESULT;

    if (!offset)
        d->fit_changed = false;
    if (d->fit_changed)
        return answer(page, DSM_FIT_CHANGED, 0);
    if (offset > all)
        return answer(page, DSM_INVALID, 0);
    if (size > all - offset)
        size = all - offset;
    d->ops->fit_read(d, offset, page + DSM_RESULT, size);
    return answer(page, DSM_SUCCESS, size);
}

static size_t call_fit(struct nvdimm_dsm *d, uint8_t *page, uint32_t function)
{
    switch (function) {
    case DSM_FUNCTIONS:
        return answer(page, 1u << DSM_FUNCTIONS | 1u << DSM_READ_FIT, 0);
    case DSM_READ_FIT:
        return read_fit(d, page);
    default:
        return answer(page, DSM_UNSUPPORTED, 0);
    }
}

size_t nvdimm_dsm_call(struct nvdimm_dsm *d, uint8_t page[NVDIMM_DSM_PAGE])
{
    uint32_t handle = get32(page), revision = get32(page + 4), function = get32(page + 8);

    /* The root has no functions, nor have revisions that are unknown. */
    if (revision != DSM_REVISION || handle == DSM_HANDLE_ROOT)
        return answer(page, function == DSM_FUNCTIONS ? 0 : DSM_UNSUPPORTED, 0);
    if (handle == DSM_HANDLE_FIT)
        return call_fit(d, page, function);
    return call_nvdimm(d, page, handle, function);
}
