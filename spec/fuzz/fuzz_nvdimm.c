/*
 * fuzz_nvdimm.c: the calls of NVDIMMs' _DSM and _FIT methods, with pages that are all the guest's,
 * against a model of the answers. -max_len=512 -runs=2000
 */
#include "devices/memory/nvdimm_dsm.h"
#include "fuzz.h"

enum { NVDIMMS = 3, LABELS_MOST = 6000, FIT = 9000 };

static const uint64_t sizes[NVDIMMS] = {LABELS_MOST, 0, 64};

static struct {
    uint8_t labels[LABELS_MOST], was[LABELS_MOST];
    bool readonly[NVDIMMS], changed;
} model;

static bool find(struct nvdimm_dsm *d, uint32_t handle, struct nvdimm_labels *out)
{
    if (handle < 1 || handle > NVDIMMS)
        return false;
    *out = (struct nvdimm_labels){model.labels, sizes[handle - 1], model.readonly[handle - 1]};
    return true;
}

static size_t fit_size(struct nvdimm_dsm *d)
{
    return FIT;
}

static void fit_read(struct nvdimm_dsm *d, size_t offset, uint8_t *out, size_t size)
{
    fuzz_check(offset <= FIT && size <= FIT - offset, "%zu bytes at %zu", size, offset);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)((offset + i) * 7);
}

static const struct nvdimm_dsm_ops ops = {find, fit_size, fit_read};

static uint32_t get(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Of calls for labels: whether they are inside, and fit into a page. */
static bool inside(uint32_t handle, uint32_t offset, uint32_t length)
{
    return length <= 4096 - 12 - 8 && (uint64_t)offset + length <= sizes[handle - 1];
}

static uint32_t status_of_nvdimm(uint32_t handle, uint32_t function, uint32_t offset,
                                 uint32_t length)
{
    bool writes = function == DSM_SET_LABELS;

    if (handle > NVDIMMS)
        return DSM_NO_DEVICE;
    if (!sizes[handle - 1] || function < DSM_LABEL_SIZE || function > DSM_SET_LABELS ||
        (writes && model.readonly[handle - 1]))
        return DSM_UNSUPPORTED;
    return function == DSM_LABEL_SIZE || inside(handle, offset, length) ? DSM_SUCCESS : DSM_INVALID;
}

/* Checks the answer to get, and the effect of set. */
static void check_data(const uint8_t *in, const uint8_t *out, size_t size)
{
    uint32_t function = get(in + 8), offset = get(in + 12), length = get(in + 16);

    if (function == DSM_SET_LABELS)
        memcpy(model.was + offset, in + 20, length);
    fuzz_check(size == (function == DSM_GET_LABELS   ? 8 + length
                        : function == DSM_LABEL_SIZE ? 16
                                                     : 8),
               "function %u answers %zu bytes", function, size);
    if (function == DSM_GET_LABELS)
        fuzz_check(!memcmp(out + 8, model.was + offset, length), "other labels");
}

static void check_nvdimm(const uint8_t *in, const uint8_t *out, size_t size)
{
    uint32_t handle = get(in), want;

    if (get(in + 8) == DSM_FUNCTIONS)
        return;
    want = status_of_nvdimm(handle, get(in + 8), get(in + 12), get(in + 16));
    fuzz_check(get(out + 4) == want, "handle %u: status %u, want %u", handle, get(out + 4), want);
    if (want == DSM_SUCCESS)
        check_data(in, out, size);
}

static void check_fit(const uint8_t *in, const uint8_t *out, size_t size)
{
    uint32_t offset = get(in + 12), status = get(out + 4);

    if (get(in + 8) != DSM_READ_FIT)
        return;
    model.changed = model.changed && offset;
    fuzz_check(status == (model.changed  ? DSM_FIT_CHANGED
                          : offset > FIT ? DSM_INVALID
                                         : DSM_SUCCESS),
               "offset %u: status 0x%x", offset, status);
    for (size_t i = 8; i < size; i++)
        fuzz_check(out[i] == (uint8_t)((offset + i - 8) * 7), "byte %zu of the structures", i);
}

static void call(struct nvdimm_dsm *d)
{
    uint8_t in[NVDIMM_DSM_PAGE], out[NVDIMM_DSM_PAGE];
    size_t size;

    memset(in, fuzz_byte(), sizeof(in));
    put(in, fuzz_byte() % 8 ? fuzz_below(NVDIMMS + 2) : DSM_HANDLE_FIT);
    put(in + 4, fuzz_byte() % 8 ? DSM_REVISION : (uint32_t)fuzz_hostile());
    put(in + 8, fuzz_below(8));
    put(in + 12, (uint32_t)fuzz_hostile());
    put(in + 16, (uint32_t)fuzz_hostile());
    memcpy(out, in, sizeof(in));
    size = nvdimm_dsm_call(d, out);
    fuzz_check(size >= 8 && size <= sizeof(out) && get(out) == size, "%zu bytes, says %u", size,
               get(out));
    if (get(in + 4) != DSM_REVISION || !get(in))
        fuzz_check(size == 8 && get(out + 4) == (get(in + 8) != 0), "status %u", get(out + 4));
    else if (get(in) == DSM_HANDLE_FIT)
        check_fit(in, out, size);
    else
        check_nvdimm(in, out, size);
    fuzz_check(!memcmp(model.labels, model.was, sizeof(model.labels)), "labels have changed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nvdimm_dsm d = {.ops = &ops};

    fuzz_begin(data, size);
    memset(&model, 0, sizeof(model));
    while (fuzz_more())
        switch (fuzz_byte() % 8) {
        case 0:
            d.fit_changed = model.changed = true;
            break;
        case 1:
            model.readonly[fuzz_below(NVDIMMS)] ^= true;
            break;
        default:
            call(&d);
        }
    return 0;
}
