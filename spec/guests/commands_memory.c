/* commands_memory.c: commands that read and write memory, RAM or devices. */
#include "commands.h"

static void fail_vector(const char *name, int vector)
{
    print("error %s: exception %u at 0x%lx\n", name, (unsigned)vector, call_fault_address());
}

void command_touch(const struct args *a)
{
    struct work w = {.kind = WORK_WRITE,
                     .address = a->n[0],
                     .size = a->n[1] * PAGE,
                     .stride = PAGE,
                     .value = a->n[2]};
    int vector = work_run(&w);

    if (vector >= 0)
        fail_vector("touch", vector);
    else
        print("ok touch 0x%lx %lu pages\n", a->n[0], a->n[1]);
}

void command_verify(const struct args *a)
{
    struct work w = {.kind = WORK_VERIFY,
                     .address = a->n[0],
                     .size = a->n[1] * PAGE,
                     .stride = PAGE,
                     .value = a->n[2]};
    int vector = work_run(&w);

    if (vector >= 0)
        fail_vector("verify", vector);
    else if (w.differs)
        print("error verify: 0x%lx at 0x%lx (want 0x%lx)\n", w.found, w.bad, w.bad ^ w.value);
    else
        print("ok verify 0x%lx %lu pages\n", a->n[0], a->n[1]);
}

void command_fill(const struct args *a)
{
    struct work w = {.kind = WORK_SET, .address = a->n[0], .size = a->n[1], .value = a->n[2]};
    int vector = work_run(&w);

    if (vector >= 0)
        fail_vector("fill", vector);
    else
        print("ok fill 0x%lx 0x%lx\n", a->n[0], a->n[1]);
}

void command_hash(const struct args *a)
{
    struct work w = {.kind = WORK_HASH, .address = a->n[0], .size = a->n[1]};
    int vector = work_run(&w);

    if (vector >= 0)
        fail_vector("hash", vector);
    else
        print("ok hash 0x%lx\n", w.result);
}

/* Single accesses are made in ring 0, so that they can reach devices like a driver's. */
struct access {
    uint64_t address, value, count;
    unsigned size;
};

static void load(void *arg)
{
    struct access *x = arg;

    for (uint64_t i = 0; i < x->count; i++)
        x->value = x->size == 1   ? *(volatile uint8_t *)x->address
                   : x->size == 2 ? *(volatile uint16_t *)x->address
                   : x->size == 4 ? *(volatile uint32_t *)x->address
                                  : *(volatile uint64_t *)x->address;
}

static void store(void *arg)
{
    struct access *x = arg;

    for (uint64_t i = 0; i < x->count; i++)
        if (x->size == 1)
            *(volatile uint8_t *)x->address = (uint8_t)x->value;
        else if (x->size == 2)
            *(volatile uint16_t *)x->address = (uint16_t)x->value;
        else if (x->size == 4)
            *(volatile uint32_t *)x->address = (uint32_t)x->value;
        else
            *(volatile uint64_t *)x->address = x->value;
}

void command_read(const struct args *a)
{
    struct access x = {
        .address = a->n[0], .size = a->count > 1 ? (unsigned)a->n[1] : 8, .count = 1};
    int vector = call_protected(load, &x, false);

    if (vector >= 0)
        fail_vector("read", vector);
    else
        print("ok read 0x%lx\n", x.value);
}

void command_write(const struct args *a)
{
    struct access x = {.address = a->n[0],
                       .value = a->n[1],
                       .size = a->count > 2 ? (unsigned)a->n[2] : 8,
                       .count = 1};
    int vector = call_protected(store, &x, false);

    if (vector >= 0)
        fail_vector("write", vector);
    else
        print("ok write\n");
}

void command_mmioread(const struct args *a)
{
    struct access x = {.address = a->n[0], .size = 4, .count = a->n[1]};
    uint64_t start = time_now_us();
    int vector = call_protected(load, &x, false);

    if (vector >= 0)
        fail_vector("mmioread", vector);
    else
        print("ok mmioread %lu in %lu us\n", a->n[1], time_now_us() - start);
}

void command_mmiowrite(const struct args *a)
{
    struct access x = {.address = a->n[0], .value = a->n[1], .size = 4, .count = a->n[2]};
    uint64_t start = time_now_us();
    int vector = call_protected(store, &x, false);

    if (vector >= 0)
        fail_vector("mmiowrite", vector);
    else
        print("ok mmiowrite %lu in %lu us\n", a->n[2], time_now_us() - start);
}
