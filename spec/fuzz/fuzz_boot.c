/*
 * fuzz_boot.c: files as kernels, with an initrd, modules and a command line.
 * -max_len=4096 -runs=20000
 *
 * Whatever the file is, everything is placed in free RAM; the placed bytes are those of the file
 * and of the user, at the addresses that the kernel is given.
 */
#define _GNU_SOURCE /* memfd_create */
#include "boot_images.h"
#include "core/rcu.h"
#include "fuzz.h"

enum { PLACE_MAX = 1 << 20, MODULES_MAX = 3 };

static lunik_runtime *rt;

static uint64_t load(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    fuzz_check(lunik_space_load(lunik_machine_memory(m), address, size, &value) == 0,
               "0x%" PRIx64 " is not RAM", address);
    return value;
}

static void expect_bytes(const char *what, uint64_t address, const void *bytes, size_t size)
{
    uint8_t *got = malloc(size);

    fuzz_check(lunik_space_read(lunik_machine_memory(m), address, got, size) == 0 &&
                   memcmp(got, bytes, size) == 0,
               "%s is not at 0x%" PRIx64, what, address);
    free(got);
}

static void expect_module(const struct boot_module *mod, uint64_t address, uint64_t size)
{
    fuzz_check(size == mod->file.size, "module of 0x%" PRIx64 " bytes, want 0x%" PRIx64, size,
               mod->file.size);
    expect_bytes("module", address, mod->file.data, mod->file.size);
}

/* ---- what the kernel finds ------------------------------------------------------------------ */

static void check_pvh(const struct boot_plan *p, const struct boot_images *images)
{
    uint64_t info = p->cpu.rbx, list = load(info + 16, 8);

    fuzz_check(load(info, 4) == 0x336ec578 && load(info + 12, 4) == images->module_count,
               "start info with %u modules", (unsigned)load(info + 12, 4));
    expect_bytes("command line", load(info + 24, 8), images->cmdline, strlen(images->cmdline) + 1);
    for (size_t i = 0; i < images->module_count; i++)
        expect_module(&images->modules[i], load(list + 32 * i, 8), load(list + 32 * i + 8, 8));
}

static void check_multiboot(const struct boot_plan *p, const struct boot_images *images)
{
    uint64_t info = p->cpu.rbx, list = load(info + 24, 4);

    fuzz_check(p->cpu.rax == 0x2badb002, "eax is 0x%" PRIx64, p->cpu.rax);
    fuzz_check(load(info + 20, 4) == images->module_count, "%u modules",
               (unsigned)load(info + 20, 4));
    for (size_t i = 0; i < images->module_count; i++) {
        uint64_t start = load(list + 16 * i, 4);

        expect_module(&images->modules[i], start, load(list + 16 * i + 4, 4) - start);
    }
}

static void check_bzimage(const struct boot_plan *p, const struct boot_images *images)
{
    uint64_t params = p->cpu.rsi;

    fuzz_check(load(params + 0x202, 4) == 0x53726448, "the header is not in the parameters");
    expect_bytes("command line", load(params + 0x228, 4), images->cmdline,
                 strlen(images->cmdline) + 1);
    if (images->module_count)
        expect_module(&images->modules[0], load(params + 0x218, 4), load(params + 0x21c, 4));
    else
        fuzz_check(load(params + 0x21c, 4) == 0, "an initrd that was not given");
}

static const struct {
    const struct boot_format *format;
    void (*check)(const struct boot_plan *p, const struct boot_images *images);
} formats[] = {
    {&boot_format_pvh, check_pvh},
    {&boot_format_multiboot, check_multiboot},
    {&boot_format_bzimage, check_bzimage},
};

/* ---- one file ------------------------------------------------------------------------------- */

static bool entry_is_placed(const struct boot_plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->cpu.rip - p->pieces[i].address < p->pieces[i].size)
            return true;
    return false;
}

static uint64_t total_size(const struct boot_plan *p)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < p->count; i++)
        sum += p->pieces[i].size;
    return sum;
}

/* Pieces don't overlap, so that each one is there when all are. */
static void check_placed(const struct boot_plan *p)
{
    lunik_error err = {0};

    fuzz_must(plan_place(p, &err), err);
    for (size_t i = 0; i < p->count; i++) {
        const struct boot_piece *piece = &p->pieces[i];

        if (piece->data_size)
            expect_bytes(piece->what, piece->address, piece->data, piece->data_size);
        if (piece->size > piece->data_size)
            fuzz_check(load(piece->address + piece->size - 1, 1) == 0, "%s: its end is not clear",
                       piece->what);
    }
}

static void try_format(size_t f, struct boot_images *images)
{
    struct boot_plan plan;
    lunik_error err = {0};
    int rc;

    images->format = formats[f].format;
    if (!images->format->probe(&images->kernel))
        return;
    plan_init(&plan, m);
    rc = images->format->plan(&plan, images, &err);
    fuzz_check(rc <= 0 && (rc == 0) == !*err.message, "%d '%s'", rc, err.message);
    if (!rc) {
        fuzz_check(plan_is_sound(&plan, images), "%s: the plan is not sound", images->format->name);
        fuzz_check(entry_is_placed(&plan), "%s: nothing is at the entry point 0x%" PRIx64,
                   images->format->name, plan.cpu.rip);
        if (total_size(&plan) <= PLACE_MAX) {
            check_placed(&plan);
            formats[f].check(&plan, images);
        }
    }
    plan_free(&plan);
}

static struct boot_module make_module(unsigned pages, uint8_t fill)
{
    struct boot_module mod = {.file = {.path = strdup("module"), .size = pages * 1000 + 1},
                              .string = strdup("module x")};

    mod.file.data = malloc(mod.file.size);
    memset(mod.file.data, fill, mod.file.size);
    return mod;
}

/* Exactly as long as the file, so that reads beyond it are seen. */
static void take_kernel(struct boot_images *images)
{
    images->kernel.path = strdup("kernel");
    images->kernel.size = fuzz_input.size;
    images->kernel.data = malloc(fuzz_input.size);
    memcpy(images->kernel.data, fuzz_input.data, fuzz_input.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_module modules[MODULES_MAX];
    struct boot_images images = {.modules = modules};
    unsigned how;
    lunik_error err;
    char *cmdline;

    if (size < 8)
        return -1;
    if (!rt) {
        must(lunik_runtime_new(lunik_builtin_types(), &rt, &err), &err);
        make_machine(rt);
    }
    fuzz_begin(data, size);
    how = (unsigned)fuzz_number(3);
    images.module_count = how % (MODULES_MAX + 1);
    images.has_initrd = images.module_count && how & 4;
    for (size_t i = 0; i < images.module_count; i++)
        modules[i] = make_module(how >> (4 + 2 * i) & 3, (uint8_t)(0xa0 + i));
    cmdline = calloc(1, (how >> 12) + 1);
    memset(cmdline, 'c', how >> 12);
    images.cmdline = cmdline;
    take_kernel(&images);
    for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++)
        try_format(f, &images);
    for (size_t i = 0; i < images.module_count; i++) {
        boot_file_free(&modules[i].file);
        free(modules[i].string);
    }
    boot_file_free(&images.kernel);
    free(cmdline);
    rcu_checkpoint();
    return 0;
}
