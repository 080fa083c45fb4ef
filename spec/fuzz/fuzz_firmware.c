/*
 * fuzz_firmware.c: files as firmware and as kernels on a pc board, through the functions that open
 * them. -max_len=64 -runs=450
 *
 * A firmware shows below 4 GiB and below 1 MiB as it is in its file, for good; files that can't be
 * one are refused, and change nothing.
 */
#define _GNU_SOURCE /* memfd_create */
#include "boot_images.h"
#include "board.h"

enum { FIRMWARE_MAX = 8 << 20, PAGE = 4096, WINDOW = 128 << 10 };

static uint8_t *image;
static size_t image_size;

/* A file of any size near the limits, with a pattern in it. */
static const char *choose_file(void)
{
    static const uint32_t sizes[] = {PAGE,   2 * PAGE,      WINDOW - PAGE,
                                     WINDOW, WINDOW + PAGE, 256 << 10};
    unsigned how = fuzz_byte();
    uint64_t size = sizes[how % 6];

    if (how & 0x80)
        size = fuzz_number(2);
    if ((how & 0xf0) == 0x70)
        size = FIRMWARE_MAX + PAGE;
    image_size = size;
    for (size_t i = 0; i < size; i += 64)
        image[i] = (uint8_t)(i >> 12 ^ i >> 6 ^ how);
    return image_path(0, image, image_size);
}

static void expect(uint64_t address, size_t offset)
{
    uint64_t value = board_load(board_memory, address, 1);

    fuzz_check(value == image[offset], "0x%" PRIx64 " shows 0x%" PRIx64 ", want 0x%x", address,
               value, image[offset]);
}

/* Without shadow RAM the end of the firmware shows below 1 MiB as well. */
static void check_firmware(void)
{
    size_t window = image_size < WINDOW ? image_size : WINDOW;
    size_t offset = fuzz_number(3) % image_size;

    expect(BOOT_4G - image_size + offset, offset);
    expect(BOOT_4G - 1, image_size - 1);
    expect(0x100000 - window, image_size - window);
    expect(0xfffff, image_size - 1);
    board_store(board_memory, BOOT_4G - image_size + offset, 1, ~image[offset]);
    expect(BOOT_4G - image_size + offset, offset);
}

/* True if the machine boots a kernel now. */
static bool try_kernel(bool has_firmware)
{
    struct image kernel = make_pvh();
    bool good = fuzz_byte() & 1;
    lunik_boot_config config = {0};
    int rc;

    kernel.bytes[0] ^= !good;
    config.kernel = image_path(1, kernel.bytes, kernel.size);
    rc = lunik_boot_kernel(board, &config, NULL);
    fuzz_check(rc == (has_firmware ? LUNIK_E_EXISTS
                      : good       ? 0
                                   : LUNIK_E_INVALID),
               "kernel: %d", rc);
    return rc == 0;
}

static bool try_firmware(bool has_kernel)
{
    const char *path = choose_file();
    bool possible = image_size && image_size % PAGE == 0 && image_size <= FIRMWARE_MAX;
    char *before = board_map(), *after;
    lunik_error err = {0};
    int rc = lunik_boot_firmware(board, path, &err);

    after = board_map();
    fuzz_check(has_kernel ? rc == LUNIK_E_EXISTS : possible == (rc == 0), "%zu bytes: %d %s",
               image_size, rc, err.message);
    fuzz_check(rc == 0 || strcmp(before, after) == 0, "a refused file changes the map");
    free(before);
    free(after);
    return rc == 0;
}

/* Shadow RAM is off, as a firmware finds it. */
static void shadow_off(void)
{
    for (uint32_t i = 0x59; i < 0x60; i++) {
        port_out(0xcf8, 4, 0x80000000u | (i & 0xfc));
        port_out((uint16_t)(0xcfc + (i & 3)), 1, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool firmware = false, kernel = false;

    if (!image)
        image = calloc(1, FIRMWARE_MAX + PAGE);
    fuzz_begin(data, size);
    board_open("memory = '4M', acpi = false");
    shadow_off();
    if (fuzz_byte() & 1)
        kernel = try_kernel(false);
    for (unsigned i = 0; i < 4 && fuzz_more() && !firmware; i++)
        firmware = try_firmware(kernel);
    if (firmware) {
        check_firmware();
        try_kernel(true);
        fuzz_check(lunik_boot_firmware(board, "/proc/self/exe", NULL) == LUNIK_E_EXISTS,
                   "a second firmware");
        board_reset();
        shadow_off();
        check_firmware();
    }
    board_close();
    return 0;
}
