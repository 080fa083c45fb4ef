/* test_parse_size.c: sizes as people write them. */
#include "lunik.h"
#include "check.h"

static void accepts(const char *text, uint64_t want)
{
    lunik_error err = {0};
    uint64_t got = 0;

    if (lunik_parse_size(text, "size", &got, &err))
        printf("# %s\n", err.message);
    check_uint(text, got, want);
}

static void refuses(const char *text, const char *why)
{
    lunik_error err = {0};
    uint64_t got = 42;

    check_int(text, lunik_parse_size(text, "ram: size", &got, &err), LUNIK_E_INVALID);
    check_contains("  says why", err.message, why);
    check_uint("  leaves the result alone", got, 42);
}

int main(void)
{
    accepts("0", 0);
    accepts("4096", 4096);
    accepts("0x1000", 4096);
    accepts("0x1G", 1ull << 30);
    accepts("512M", 512ull << 20);
    accepts("512m", 512ull << 20);
    accepts("4GiB", 4ull << 30);
    accepts("4GB", 4ull << 30);
    accepts("1T", 1ull << 40);
    accepts("15E", 15ull << 60);
    accepts("16B", 16);
    accepts("18446744073709551615", UINT64_MAX);
    refuses("", "'' is not a size");
    refuses("4Q", "ram: size: '4Q' is not a size (want e.g. 512M, 4G)");
    refuses("-1", "is not a size");
    refuses("+1", "is not a size");
    refuses(" 1", "is not a size");
    refuses("1 G", "is not a size");
    refuses("1.5G", "is not a size");
    refuses("G", "is not a size");
    refuses("0x", "is not a size");
    refuses("4GG", "is not a size");
    refuses("4iB", "is not a size");
    refuses("16E", "does not fit in 64 bits");
    refuses("18446744073709551616", "does not fit in 64 bits");
    refuses("0xffffffffffffffffffff", "does not fit in 64 bits");
    return check_result();
}
