/* boot.c: recognises kernels, and loads one at every reset. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "core/misuse.h"
#include "kvm/vcpu.h"

#define KERNEL_MAX  (2048ull << 20)
#define MODULES_MAX 128

/* In order of preference: an image may fit several. */
static const struct boot_format *const formats[] = {
    &boot_format_pvh,
    &boot_format_multiboot,
    &boot_format_bzimage,
};

#define WANTED "an ELF image with a PVH entry note, a Multiboot image or a bzImage"

static const struct {
    uint8_t magic[6];
    size_t size;
    const char *text;
} known[] = {
    {{0x7f, 'E', 'L', 'F'}, 4, "an ELF image without PVH entry note or Multiboot header"},
    {{0x1f, 0x8b}, 2, "compressed by gzip: unpack it"},
    {{0xfd, '7', 'z', 'X', 'Z'}, 5, "compressed by xz: unpack it"},
    {{0x28, 0xb5, 0x2f, 0xfd}, 4, "compressed by zstd: unpack it"},
    {{'B', 'Z', 'h'}, 3, "compressed by bzip2: unpack it"},
    {{'#', '!'}, 2, "a script"},
    {{'0', '7', '0', '7', '0'}, 5, "a cpio archive, perhaps the initrd"},
    {{'M', 'Z'}, 2, "a PE image without Linux boot header"},
};

static int fail_unknown(const struct boot_file *f, lunik_error *err)
{
    char bytes[32] = "";
    struct elf_image elf;
    int rc;

    if (elf_probe(f)) {
        rc = elf_open(&elf, f, err);
        if (rc)
            return lunik_fail_prefix(err, rc, "kernel: '%s'", f->path);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (f->size >= known[i].size && !memcmp(f->data, known[i].magic, known[i].size))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "kernel: '%s' is not a kernel: it is %s (want %s)", f->path,
                              known[i].text, WANTED);
    for (size_t i = 0; i < f->size && i < 4; i++)
        snprintf(bytes + 3 * i, sizeof(bytes) - 3 * i, " %02x", f->data[i]);
    return lunik_fail(err, LUNIK_E_INVALID,
                      "kernel: '%s' is not a kernel: it starts with%s (want %s)", f->path, bytes,
                      WANTED);
}

static int find_format(struct boot_images *images, lunik_error *err)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (formats[i]->probe(&images->kernel)) {
            images->format = formats[i];
            return 0;
        }
    return fail_unknown(&images->kernel, err);
}

static void images_free(struct boot_images *images)
{
    if (!images)
        return;
    for (size_t i = 0; i < images->module_count; i++) {
        boot_file_free(&images->modules[i].file);
        free(images->modules[i].string);
    }
    boot_file_free(&images->kernel);
    free(images->modules);
    free(images->cmdline);
    free(images);
}

/* Returns the bytes of RAM below 4 GiB, which no initrd or module can exceed. */
static uint64_t low_ram(const struct boot_state *b)
{
    uint64_t base, last, from = 0, sum = 0;

    while (from < BOOT_4G && fwmap_ram_after(b, from, &base, &last) && base < BOOT_4G) {
        sum += (last < BOOT_4G ? last + 1 : BOOT_4G) - base;
        from = last < BOOT_4G ? last + 1 : BOOT_4G;
    }
    return sum;
}

/* Adds a module from "path arguments", or an initrd from a path. */
static int add_module(struct boot_images *images, const char *string, bool initrd, uint64_t limit,
                      lunik_error *err)
{
    struct boot_module *mod = &images->modules[images->module_count];
    size_t length = initrd ? strlen(string) : strcspn(string, " ");
    char *path = strndup(string, length);
    int rc;

    mod->string = strdup(string);
    if (!path || !mod->string)
        rc = lunik_fail(err, LUNIK_E_NO_MEMORY, "out of memory");
    else
        rc = boot_file_read(&mod->file, path, limit, err);
    free(path);
    images->module_count++; /* also on failure: images_free() frees what has been set */
    return rc ? lunik_fail_prefix(err, rc, initrd ? "initrd" : "module") : 0;
}

static int add_modules(struct boot_images *images, const lunik_boot_config *config, uint64_t limit,
                       lunik_error *err)
{
    size_t count = config->initrd ? 1 : 0;
    int rc = 0;

    for (const char *const *mod = config->modules; mod && *mod; mod++)
        count++;
    if (count > MODULES_MAX)
        return lunik_fail(err, LUNIK_E_INVALID, "modules: %zu are too many (want at most %d)",
                          count, MODULES_MAX);
    images->modules = calloc(count + 1, sizeof(*images->modules));
    if (!images->modules)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "modules: out of memory");
    images->has_initrd = config->initrd;
    if (config->initrd)
        rc = add_module(images, config->initrd, true, limit, err);
    for (const char *const *mod = config->modules; !rc && mod && *mod; mod++)
        rc = add_module(images, *mod, false, limit, err);
    return rc;
}

static int images_read(struct boot_images *images, const lunik_boot_config *config, uint64_t limit,
                       lunik_error *err)
{
    int rc = boot_file_read(&images->kernel, config->kernel, KERNEL_MAX, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "kernel");
    rc = find_format(images, err);
    if (rc)
        return rc;
    images->rsdp = config->rsdp;
    images->cmdline = strdup(config->cmdline ? config->cmdline : "");
    if (!images->cmdline)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "cmdline: out of memory");
    return add_modules(images, config, limit, err);
}

static int make_plan(struct boot_plan *p, const struct boot_images *images, lunik_error *err)
{
    int rc = images->format->plan(p, images, err);

    return rc ? lunik_fail_prefix(err, rc, "kernel: '%s'", images->kernel.path) : 0;
}

int lunik_boot_kernel(lunik_machine *m, const lunik_boot_config *config, lunik_error *err)
{
    NOT_NULL_OR_FAIL(m, err);
    NOT_NULL_OR_FAIL(config, err);

    struct boot_images *images;
    struct boot_plan plan;
    int rc;

    if (!config->kernel || !*config->kernel)
        return lunik_fail(err, LUNIK_E_INVALID, "kernel: is missing (want the path of a file)");
    if (!m->boot)
        return machine_fail_closed(m, err);
    if (m->boot->firmware)
        return lunik_fail(err, LUNIK_E_EXISTS, "kernel: '%s': the machine boots firmware",
                          config->kernel);
    images = calloc(1, sizeof(*images));
    if (!images)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "kernel: out of memory");
    rc = images_read(images, config, low_ram(m->boot), err);
    if (!rc) {
        plan_init(&plan, m);
        rc = make_plan(&plan, images, err);
        plan_free(&plan);
    }
    if (rc) {
        images_free(images);
        return rc;
    }
    images_free(m->boot->images);
    m->boot->images = images;
    return 0;
}

int boot_init(lunik_machine *m, lunik_error *err)
{
    m->boot = calloc(1, sizeof(*m->boot));
    return m->boot ? 0 : lunik_fail(err, LUNIK_E_NO_MEMORY, "boot: out of memory");
}

void boot_fini(lunik_machine *m)
{
    if (!m->boot)
        return;
    firmware_free(m->boot);
    roms_free(m->boot);
    images_free(m->boot->images);
    free(m->boot->map);
    free(m->boot);
    m->boot = NULL;
}

/* Places the kernel and gives the first vCPU its registers. */
static int reset_kernel(lunik_machine *m, lunik_error *err)
{
    struct boot_plan plan;
    int rc;

    plan_init(&plan, m);
    rc = make_plan(&plan, m->boot->images, err);
    if (!rc)
        rc = plan_place(&plan, err);
    if (!rc)
        rc = boot_cpu_apply(m, &plan.cpu, err);
    plan_free(&plan);
    return rc;
}

/* Memory is as the guest has left it. */
static int wake(lunik_machine *m, lunik_error *err)
{
    struct boot_cpu cpu;
    bool found;
    int rc = boot_find_waking(m, &cpu, &found, err);

    if (rc || lunik_machine_accel(m) == LUNIK_ACCEL_NONE)
        return rc;
    return found ? boot_cpu_apply(m, &cpu, err) : vcpu_set_boot_state(m, NULL, NULL, err);
}

int boot_reset(lunik_machine *m, lunik_error *err)
{
    int rc;

    if (lunik_machine_waking(m))
        return wake(m, err);
    rc = roms_place(m, err);

    if (rc)
        return rc;
    if (m->boot->images)
        return reset_kernel(m, err);
    if (lunik_machine_accel(m) == LUNIK_ACCEL_NONE)
        return 0;
    return vcpu_set_boot_state(m, NULL, NULL, err);
}
