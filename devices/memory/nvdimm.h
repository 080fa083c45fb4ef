/* nvdimm.h: a module of persistent memory, and its structures in the NVDIMM firmware interface
 * table (NFIT; ACPI 6.0, section 5.2.25). */
#ifndef MEMORY_NVDIMM_H
#define MEMORY_NVDIMM_H

#include "nvdimm_dsm.h"
#include "pc_dimm.h"

struct nvdimm {
    struct pc_dimm dimm;
    uint64_t label_size; /* bytes, at the end of the backend */
    bool unarmed;
    char *uuid;
};

/* Returns the NVDIMM that an object is; NULL: it is none. */
struct nvdimm *nvdimm_of(lunik_object *o);
/* Returns the place of its labels. */
struct nvdimm_labels nvdimm_labels_of(const struct nvdimm *n);

enum { NVDIMM_FIT_SIZE = 56 + 48 + 80 }; /* bytes that follow for each NVDIMM */

/* The handle by which the guest names the NVDIMM in a slot. */
static inline uint32_t nvdimm_handle(uint64_t slot)
{
    return (uint32_t)slot + 1;
}
/* Writes an NVDIMM's structures. */
void nvdimm_fit_put(const struct nvdimm *n, uint8_t out[NVDIMM_FIT_SIZE]);

#endif
