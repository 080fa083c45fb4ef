/*
 * test_boot_fuzz.c: no file makes the boot loaders place anything wrongly.
 *
 * BOOT_SEED=n repeats a run, BOOT_ROUNDS=n changes its length.
 */
#define _GNU_SOURCE /* memfd_create */
#include "boot_images.h"

static uint64_t random_state;

/* xorshift64* */
static uint64_t random64(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

/* Values that sizes and addresses break on. */
static uint64_t nasty(void)
{
    static const uint64_t values[] = {
        0,       1,          0x7f,       0x80,       0xff,
        0x1000,  MIB,        RAM_END,    0x7fffffff, 0x80000000,
        1 << 16, UINT32_MAX, UINT64_MAX, INT64_MAX,  UINT64_MAX - 4095};
    uint64_t v = values[random64() % (sizeof(values) / sizeof(values[0]))];

    return random64() % 4 ? v : v + random64() % 64 - 32;
}

static void mutate(struct image *im, size_t header)
{
    unsigned changes_made = 1 + random64() % 4;

    for (unsigned i = 0; i < changes_made; i++) {
        unsigned size = 1u << random64() % 4;
        size_t at = random64() % header;
        uint64_t v = random64() % 3 ? nasty() : random64();

        if (random64() % 4)
            at &= ~(size_t)(size - 1);
        memcpy(im->bytes + at, &v, size);
    }
    if (random64() % 16 == 0)
        im->size = 1 + random64() % im->size;
}

/* Returns 1 for an accepted image, 0 for a rejected one, -1 for an unsound plan. */
static int fuzz_one(struct image *im, const struct boot_format *format)
{
    struct boot_images images = {.cmdline = (char *)"a b c", .format = format};
    struct boot_plan plan;
    lunik_error err = {0};
    int rc;

    /* Exactly as long as the file, so that a sanitizer sees reads beyond it. */
    images.kernel.data = malloc(im->size);
    images.kernel.path = (char *)"fuzz";
    images.kernel.size = im->size;
    memcpy(images.kernel.data, im->bytes, im->size);
    plan_init(&plan, m);
    rc = -1;
    if (!format->probe(&images.kernel) || format->plan(&plan, &images, &err) < 0)
        rc = 0;
    else if (plan_is_sound(&plan, &images))
        rc = 1;
    plan_free(&plan);
    free(images.kernel.data);
    return rc;
}

static void test_fuzz(void)
{
    static const struct {
        const char *name;
        struct image (*make)(void);
        const struct boot_format *format;
        size_t header;
    } targets[] = {
        {"PVH", make_pvh, &boot_format_pvh, 0x420},
        {"Multiboot", make_multiboot, &boot_format_multiboot, MB + 32},
        {"Multiboot ELF", make_multiboot_elf, &boot_format_multiboot, 84},
        {"bzImage", make_bzimage, &boot_format_bzimage, 0x270},
    };
    const char *seed = getenv("BOOT_SEED"), *rounds = getenv("BOOT_ROUNDS");
    unsigned long n = rounds ? strtoul(rounds, NULL, 0) : 5000;
    uint64_t first = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 2654435761u + 1;

    printf("# BOOT_SEED=%" PRIu64 "\n", first);
    random_state = first;
    for (size_t t = 0; t < sizeof(targets) / sizeof(targets[0]); t++) {
        unsigned long accepted = 0, unsound = 0;

        for (unsigned long i = 0; i < n; i++) {
            struct image im = targets[t].make();
            int rc;

            mutate(&im, targets[t].header);
            /* Half of the Multiboot headers are summed up again, to get past the checksum. */
            if (targets[t].make == make_multiboot && random64() % 2)
                put_flags(&im, boot_get32(im.bytes + MB + 4));
            rc = fuzz_one(&im, targets[t].format);
            accepted += rc > 0;
            unsound += rc < 0;
        }
        printf("# %s: %lu of %lu accepted\n", targets[t].name, accepted, n);
        check_uint(targets[t].name, unsound, 0);
    }
}

int main(void)
{
    lunik_runtime *rt;
    lunik_error err;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err), &err);
    make_machine(rt);
    test_fuzz();
    drop_machine();
    lunik_runtime_free(rt);
    return check_result();
}
