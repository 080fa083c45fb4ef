/* options.c: the kernel command line. */
#include "guest.h"

struct options options = {.cmd = "", .slots = 256, .uart = 0x3f8, .uart_irq = 4, .slots_gpe = 3};

static char text[2048];

bool text_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The rest of s after prefix, or NULL. */
static const char *after(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return NULL;
    return s;
}

bool parse_number(const char *s, uint64_t *out)
{
    uint64_t n = 0, base = 10;

    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
    }
    if (!*s)
        return false;
    for (; *s; s++) {
        char c = *s >= 'A' && *s <= 'F' ? (char)(*s + 32) : *s;
        uint64_t digit = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10)
                                                : 16;

        if (digit >= base)
            return false;
        n = n * base + digit;
    }
    *out = n;
    return true;
}

/* "NAME=number"; false if s is not that. */
static bool parse_numeric(const char *s)
{
    static const struct {
        const char *prefix;
        uint64_t *to;
    } numbers[] = {{"slots=", &options.slots},
                   {"slots-port=", &options.slots_port},
                   {"slots-gpe=", &options.slots_gpe},
                   {"uart=", &options.uart},
                   {"uart-irq=", &options.uart_irq}};
    const char *value;

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if ((value = after(s, numbers[i].prefix)))
            return parse_number(value, numbers[i].to);
    return false;
}

static void parse_option(const char *s)
{
    const char *value;

    if (text_equal(s, "refuse-eject"))
        options.refuse_eject = true;
    else if (text_equal(s, "refuse-insert"))
        options.refuse_insert = true;
    else if (text_equal(s, "no-hotplug"))
        options.no_hotplug = true;
    else if (text_equal(s, "full-test"))
        options.full_test = true;
    else if (text_equal(s, "ignore-button"))
        options.ignore_button = true;
    else if ((value = after(s, "cmd=")))
        options.cmd = value;
    else if (!parse_numeric(s))
        print("options: '%s' is unknown\n", s);
}

/* Splits at blanks, except between double quotes, which are dropped. */
void options_parse(const char *cmdline, bool skip_first)
{
    char *to = text;

    while (*cmdline && to < text + sizeof(text) - 1) {
        char *start = to;
        bool quoted = false;

        while (*cmdline == ' ')
            cmdline++;
        for (; *cmdline && (quoted || *cmdline != ' ') && to < text + sizeof(text) - 1; cmdline++)
            if (*cmdline == '"')
                quoted = !quoted;
            else
                *to++ = *cmdline;
        if (to == start)
            break;
        *to++ = 0;
        if (!skip_first)
            parse_option(start);
        skip_first = false;
    }
}
