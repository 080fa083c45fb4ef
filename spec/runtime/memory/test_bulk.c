/* test_bulk.c: search, strings and SHA-256 in guest memory, compared with the plain ways to do it.
 */
#include <sha2.h>

#include "machine_rig.h"
#include "random.h"

enum { SIZE = 0x3000, HALF = 0x1800 + 5 };

static lunik_space *space;
static uint8_t bytes[SIZE]; /* what the guest's memory holds */

static void map(uint64_t address, lunik_region_config config)
{
    lunik_region_unref(add_to(space, address, region_of(config), 0));
}

/* RAM in two regions whose border is at an odd address, with tiny ones between them. */
static void make_memory(void)
{
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    static const unsigned sizes[] = {HALF, 3, 17, 1, 2, 5, 40, 4, 9, 1, 1, 0};
    uint64_t at = 0;

    for (unsigned i = 0; at < SIZE; at += config.size, i++) {
        config.ram = new_ram("ram", 0x4000);
        config.size = sizes[i] ? sizes[i] : SIZE - at;
        map(at, config);
        lunik_ram_unref(config.ram);
    }
}

/* Few values, so that patterns begin in many places. */
static void fill_memory(unsigned values)
{
    for (unsigned i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(chance(8) ? 0 : chance(values));
    must("write", lunik_space_write(space, 0, bytes, SIZE));
}

/* ---- search --------------------------------------------------------------------------------- */

static uint64_t find_plainly(uint64_t from, uint64_t size, const lunik_pattern *p)
{
    for (uint64_t i = from; i + p->length <= from + size; i++) {
        size_t k = 0;

        while (k < p->length && !((bytes[i + k] ^ p->data[k]) & (p->mask ? p->mask[k] : 0xff)))
            k++;
        if (k == p->length && i % (p->align ? p->align : 1) == 0)
            return i;
    }
    return UINT64_MAX;
}

static void test_search(void)
{
    static const uint8_t masks[] = {0, 0xff, 0xff, 0xf0, 0x01};
    unsigned wrong = 0, found = 0;

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t data[80], mask[80];
        lunik_pattern p = {.data = data, .length = 1 + chance(chance(4) ? 6 : sizeof(data))};
        uint64_t from = chance(SIZE), size = chance((unsigned)(SIZE - from) + 1), got = UINT64_MAX;
        unsigned like = chance(SIZE - sizeof(data));
        int rc;

        if (round % 1000 == 0)
            fill_memory(2 + chance(4));
        if (chance(3) == 0) { /* around the border */
            like = HALF - chance(sizeof(data));
            from = HALF - chance(200);
        }
        if (from + size > SIZE)
            size = SIZE - from;
        memcpy(data, bytes + like, p.length);
        if (chance(4) == 0)
            data[chance((unsigned)p.length)] ^= 1;
        for (unsigned i = 0; i < p.length; i++)
            mask[i] = masks[chance(sizeof(masks))];
        p.mask = chance(2) ? mask : NULL;
        p.align = chance(2) ? 0 : 1 + chance(9);
        rc = lunik_space_search(space, from, size, &p, &got);
        if (rc == LUNIK_E_NOT_FOUND)
            got = UINT64_MAX;
        found += !rc;
        wrong += (rc && rc != LUNIK_E_NOT_FOUND) || got != find_plainly(from, size, &p);
    }
    check_uint("search: as one byte after the other", wrong, 0);
    check_true("search: both outcomes", found > 1000 && found < 19000);
}

/* ---- strings -------------------------------------------------------------------------------- */

static unsigned register_reads;

static lunik_access read_register(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    register_reads++;
    *value = offset < 3 ? 'x' : 0;
    return LUNIK_ACCESS_OK;
}

static void test_strings(void)
{
    static const lunik_io_ops ops = {.read = read_register};
    char text[32];
    size_t length = 99;

    lunik_space_fill(space, 0, 'a', SIZE);
    lunik_space_write(space, HALF - 3, "hello", 6);
    check_int("string: across a border", lunik_space_string(space, HALF - 3, text, 32, &length), 0);
    check_string("string: all of it", text, "hello");
    check_uint("string: its length", length, 5);
    check_int("string: with its end", lunik_space_string(space, HALF - 3, text, 6, &length),
              LUNIK_E_NO_SPACE);
    check_string("string: what there is", text, "hello");
    check_int("string: no room", lunik_space_string(space, HALF - 3, text, 1, &length),
              LUNIK_E_NO_SPACE);
    check_string("string: nothing", text, "");
    check_int("string: no buffer", lunik_space_string(space, 0, text, 0, &length), LUNIK_E_INVALID);
    lunik_space_store(space, SIZE - 1, 1, 0);
    check_int("string: ends where memory does",
              lunik_space_string(space, SIZE - 4, text, 32, &length), 0);
    check_string("string: before that", text, "aaa");
    lunik_space_store(space, SIZE - 1, 1, 'b');
    check_int("string: does not end", lunik_space_string(space, SIZE - 4, text, 32, &length),
              LUNIK_E_ACCESS);
    check_string("string: has been read so far", text, "aaab");
    map(SIZE,
        (lunik_region_config){.kind = LUNIK_REGION_IO, .name = "io", .size = 16, .ops = &ops});
    check_int("string: goes on in a device", lunik_space_string(space, SIZE - 4, text, 32, &length),
              0);
    check_string("string: to its end", text, "aaabxxx");
    check_uint("string: and no further", register_reads, 4);
    check_int("string: beyond the end of the space",
              lunik_space_string(space, UINT64_MAX - 1, text, 32, &length), LUNIK_E_ACCESS);
}

/* ---- SHA-256 -------------------------------------------------------------------------------- */

static void test_sha256(void)
{
    unsigned wrong = 0;

    fill_memory(256);
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t from = chance(SIZE), size = chance(chance(2) ? 300 : SIZE - (unsigned)from + 1);
        uint8_t digest[32], want[32];
        SHA2_CTX sha;

        if (from + size > SIZE)
            size = SIZE - from;
        SHA256Init(&sha);
        SHA256Update(&sha, bytes + from, size);
        SHA256Final(want, &sha);
        wrong += lunik_space_sha256(space, from, size, digest) != 0;
        wrong += memcmp(digest, want, sizeof(want)) != 0;
    }
    check_uint("SHA-256: of any length, from anywhere", wrong, 0);
}

int main(void)
{
    new_runtime();
    new_machine(LUNIK_ACCEL_NONE);
    space = lunik_machine_memory(m);
    make_memory();
    test_search();
    test_sha256();
    test_strings();
    lunik_runtime_free(rt);
    return check_result();
}
