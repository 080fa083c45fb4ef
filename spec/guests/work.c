/* work.c: loops over memory and devices. Most run in ring 3: nothing privileged, no output here. */
#include "guest.h"

#define FNV_START 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

static void write(const struct work *w, uint64_t value)
{
    for (uint64_t at = w->address; at < w->address + w->size; at += w->stride)
        *(volatile uint64_t *)at = at ^ value;
}

static void verify(struct work *w)
{
    for (uint64_t at = w->address; at < w->address + w->size; at += w->stride) {
        uint64_t v = *(volatile uint64_t *)at;

        if (v != (at ^ w->value)) {
            w->differs = true;
            w->bad = at;
            w->found = v;
            return;
        }
    }
}

static void set(const struct work *w)
{
    uint64_t to = w->address, count = w->size;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"((uint8_t)w->value) : "memory");
}

static void hash(struct work *w)
{
    uint64_t h = FNV_START;

    for (uint64_t i = 0; i < w->size; i++)
        h = (h ^ *(volatile uint8_t *)(w->address + i)) * FNV_PRIME;
    w->result = h;
}

static void loop(struct work *w)
{
    for (; !w->stop; w->result++)
        write(w, w->value + w->result);
}

static void access_device(struct work *w)
{
    for (; !w->stop; w->result++) {
        inb((uint16_t)w->value);
        *(volatile uint32_t *)w->address = (uint32_t)w->result;
    }
}

static void run(void *arg)
{
    struct work *w = arg;

    switch (w->kind) {
    case WORK_WRITE:
        write(w, w->value);
        break;
    case WORK_VERIFY:
        verify(w);
        break;
    case WORK_SET:
        set(w);
        break;
    case WORK_HASH:
        hash(w);
        break;
    case WORK_LOOP:
        loop(w);
        break;
    case WORK_DEVICE:
        access_device(w);
        break;
    }
}

int work_run(struct work *w)
{
    return call_protected(run, w, w->kind != WORK_DEVICE);
}
