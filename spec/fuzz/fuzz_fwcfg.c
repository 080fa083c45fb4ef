/*
 * fuzz_fwcfg.c: the firmware configuration interface with files of random sizes, and memory of its
 * own that fails where it ends. -max_len=256 -runs=20000
 *
 * What is read by port and by DMA is what a simple model of the files has; nothing else in memory
 * changes; the descriptor says whether an operation succeeded.
 */
#include "devices/isa/fw_cfg_chip.h"
#include "fuzz.h"

enum { MEMORY = 8192, FILES = 6, LARGEST = 3000 };

static struct {
    struct fw_cfg_chip chip;
    uint8_t memory[MEMORY], before[MEMORY];
    uint8_t contents[FILES][LARGEST];
    size_t sizes[FILES];
    unsigned count;
    /* the model's place; file < 0: something else is selected */
    int file;
    size_t offset;
} b;

/* ---- memory --------------------------------------------------------------------------------- */

static size_t inside(uint64_t address, size_t size)
{
    if (address >= MEMORY)
        return 0;
    return size < MEMORY - address ? size : MEMORY - (size_t)address;
}

static int memory_read(void *opaque, uint64_t address, void *buf, size_t size)
{
    size_t n = inside(address, size);

    memset(buf, 0xff, size);
    memcpy(buf, b.memory + (n ? address : 0), n);
    return n == size ? 0 : LUNIK_E_ACCESS;
}

static int memory_write(void *opaque, uint64_t address, const void *buf, size_t size)
{
    size_t n = inside(address, size);

    memcpy(b.memory + (n ? address : 0), buf, n);
    return n == size ? 0 : LUNIK_E_ACCESS;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void file_name(char name[16], unsigned i)
{
    snprintf(name, 16, "opt/%u", i);
}

static void fill(unsigned i)
{
    b.sizes[i] = (size_t)fuzz_number(2) % (LARGEST + 1);
    for (size_t n = 0; n < b.sizes[i]; n++)
        b.contents[i][n] = (uint8_t)(n * 13 + i + b.sizes[i]);
}

static void add_file(void)
{
    char name[16];
    lunik_fw_cfg_source source = {0};

    if (b.count == FILES)
        return;
    fill(b.count);
    file_name(name, b.count);
    source.data = b.contents[b.count];
    source.size = b.sizes[b.count];
    fuzz_check(!fw_cfg_add(&b.chip, name, 0, &source, NULL), "'%s' is not added", name);
    b.count++;
}

static void change_file(void)
{
    char name[16];
    unsigned i;

    if (!b.count)
        return;
    i = fuzz_below(b.count);
    fill(i);
    file_name(name, i);
    fuzz_check(!fw_cfg_set(&b.chip, name, 0, b.contents[i], b.sizes[i], NULL), "'%s' is not set",
               name);
}

/* ---- reading -------------------------------------------------------------------------------- */

static uint16_t any_key(void)
{
    uint8_t how = fuzz_byte();

    return how < 200 ? (uint16_t)(FW_CFG_FILE_FIRST + how % (FILES + 1)) : (uint16_t)fuzz_number(2);
}

static void selected(uint16_t key)
{
    unsigned number = key & ~(unsigned)FW_CFG_WRITE;

    b.offset = 0;
    b.file = -1;
    if (number >= FW_CFG_FILE_FIRST && number < FW_CFG_FILE_FIRST + b.count)
        b.file = (int)(number - FW_CFG_FILE_FIRST);
}

/* Returns the next byte that is expected. */
static uint8_t next(void)
{
    if (b.file < 0 || b.offset >= b.sizes[b.file])
        return 0;
    return b.contents[b.file][b.offset++];
}

static bool known(void)
{
    return b.chip.key != FW_CFG_DIRECTORY;
}

static void read_port(void)
{
    for (unsigned n = fuzz_below(64); n; n--) {
        uint8_t got = fw_cfg_next(&b.chip), want = next();

        fuzz_check(!known() || got == want, "read 0x%x, want 0x%x", got, want);
    }
}

static void put_big(uint8_t *p, uint64_t value, unsigned width)
{
    while (width--) {
        p[width] = (uint8_t)value;
        value >>= 8;
    }
}

/* Checks memory after a transfer, which does not overlap its descriptor. */
static void check_transfer(uint64_t at, uint64_t target, uint32_t length, bool ok)
{
    for (uint64_t i = 0; i < MEMORY; i++) {
        bool within = i >= target && i - target < length;

        if (i >= at && i - at < 4)
            continue;
        if (!within)
            fuzz_check(b.memory[i] == b.before[i], "0x%" PRIx64 " has changed", i);
        else if (ok && known())
            fuzz_check(b.memory[i] == next(), "0x%" PRIx64 " is 0x%x", i, b.memory[i]);
    }
}

static void transfer(void)
{
    uint8_t how = fuzz_byte();
    uint16_t key = any_key();
    uint32_t length = (uint32_t)fuzz_number(1 + how % 4);
    uint64_t at = fuzz_number(2) % (MEMORY + 8), target = fuzz_number(how & 0x40 ? 8 : 2);
    uint32_t control = (uint32_t)key << 16 | (how & 0x1e);
    uint8_t raw[FW_CFG_DMA_DESCRIPTOR];
    size_t n = inside(at, sizeof(raw));

    put_big(raw, control, 4);
    put_big(raw + 4, length, 4);
    put_big(raw + 8, target, 8);
    memcpy(b.memory + (n ? at : 0), raw, n);
    memcpy(b.before, b.memory, MEMORY);
    fw_cfg_dma_write(&b.chip, 0, 4, __builtin_bswap32((uint32_t)(at >> 32)));
    fw_cfg_dma_write(&b.chip, 4, 4, __builtin_bswap32((uint32_t)at));
    if (n < sizeof(raw)) {
        fuzz_check(n < 4 || b.memory[at + 3] == FW_CFG_DMA_ERROR, "no error");
        return;
    }
    bool ok = b.memory[at + 3] == 0;
    fuzz_check(!memcmp(b.memory + at, (uint8_t[3]){0}, 3) && b.memory[at + 3] <= 1, "control");
    if (how & FW_CFG_DMA_SELECT)
        selected(key);
    bool overlaps = target < at + 16 && at < target + length;
    if (!(how & FW_CFG_DMA_READ)) {
        check_transfer(at, 0, 0, ok);
    } else if (!overlaps && target < MEMORY && length <= MEMORY - target) {
        fuzz_check(ok, "a transfer within memory fails");
        check_transfer(at, target, length, ok);
    } else if (length > 0 && (target >= MEMORY || length > MEMORY - target)) {
        fuzz_check(!ok, "a transfer beyond memory succeeds");
    }
    fw_cfg_select(&b.chip, key); /* where a failed one has stopped is not said */
    selected(key);
}

static void operate(void)
{
    uint8_t how = fuzz_byte();
    uint16_t key;

    switch (how & 7) {
    case 0:
        add_file();
        break;
    case 1:
        change_file();
        break;
    case 2:
        key = any_key();
        fw_cfg_select(&b.chip, key);
        selected(key);
        break;
    case 3:
    case 4:
        read_port();
        break;
    case 5:
        fw_cfg_dma_write(&b.chip, 0, 4, fuzz_number(4));
        break;
    default:
        transfer();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    memset(&b, 0, sizeof(b));
    b.file = -1;
    b.chip.memory = (struct fw_cfg_memory){memory_read, memory_write, NULL};
    fw_cfg_chip_reset(&b.chip);
    while (fuzz_more())
        operate();
    fw_cfg_chip_free(&b.chip);
    return 0;
}
