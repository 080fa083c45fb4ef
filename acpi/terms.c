/*
 * terms.c: AML that is in no ASL part because it depends on the machine: scopes, and methods that
 * find one of many copies.
 */
#include <string.h>

#include "acpi.h"

#define AML_BYTE         0x0a
#define AML_WORD         0x0b
#define AML_METHOD       0x14
#define AML_MULTI_PREFIX 0x2f /* a path of more than two segments: their number, the segments */
#define AML_DUAL_PREFIX  0x2e
#define AML_SERIALIZED   0x08 /* in a method's flags, together with the number of arguments */
#define AML_ARG0         0x68
#define AML_ARG1         0x69
#define AML_NOTIFY       0x86
#define AML_LESS         0x95
#define AML_IF           0xa0
#define AML_ELSE         0xa1

#define MAX_SEGMENTS 255

/* ---- packages ------------------------------------------------------------------------------- */

uint64_t acpi_package_length(uint64_t length, unsigned bytes)
{
    return (length >> 4) << 8 | (bytes - 1) << 6 | (length & 0xf);
}

size_t acpi_package_begin(struct acpi_buffer *b, unsigned opcode)
{
    acpi_put(b, opcode, 1);
    acpi_put(b, 0, 3);
    return b->size - 3;
}

void acpi_package_end(struct acpi_buffer *b, size_t start)
{
    acpi_set(b, start, acpi_package_length(b->size - start, 3), 3);
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool is_lead(char c)
{
    return c == '_' || (c >= 'A' && c <= 'Z');
}

/* Returns the length of the segment that text starts with; 0 if it starts with none. */
static size_t segment_length(const char *text)
{
    size_t length = 0;

    while (is_lead(text[length]) || (length && text[length] >= '0' && text[length] <= '9'))
        length++;
    return length <= ACPI_SEGMENT ? length : 0;
}

/* Returns the number of segments in "\_SB.PCI0"; 0 if that is no path. */
static unsigned count_segments(const char *path)
{
    unsigned count = 0;
    size_t length = 0;

    if (*path != '\\')
        return 0;
    do {
        path++;
        length = segment_length(path);
        path += length;
        count++;
    } while (length && *path == '.' && count < MAX_SEGMENTS);
    return length && !*path ? count : 0;
}

bool acpi_is_segment(const char *name)
{
    return segment_length(name) == ACPI_SEGMENT && !name[ACPI_SEGMENT];
}

bool acpi_put_path(struct acpi_buffer *b, const char *path)
{
    unsigned count = count_segments(path);

    if (!count)
        return false;
    acpi_put(b, '\\', 1);
    if (count == 2)
        acpi_put(b, AML_DUAL_PREFIX, 1);
    else if (count > 2)
        acpi_put(b, AML_MULTI_PREFIX | count << 8, 2);
    while (*path) {
        size_t length = segment_length(++path);
        acpi_append(b, path, length);
        acpi_append(b, "____", ACPI_SEGMENT - length);
        path += length;
    }
    return true;
}

/* ---- notification --------------------------------------------------------------------------- */

/* Finds copy Arg0 of first..last by halving and notifies it of Arg1. */
static void put_search(struct acpi_buffer *b, const struct acpi_copies *copies, unsigned first,
                       unsigned last)
{
    if (first == last && acpi_is_absent(copies->absent, first))
        return;
    if (first == last) {
        acpi_put(b, AML_NOTIFY, 1);
        acpi_append(b, copies->name, copies->prefix);
        acpi_put_digits(b, first, ACPI_SEGMENT - copies->prefix);
        acpi_put(b, AML_ARG1, 1);
        return;
    }
    unsigned middle = first + (last - first + 1) / 2;
    bool word = middle > 0xff;
    size_t package = acpi_package_begin(b, AML_IF);
    acpi_put(b, AML_LESS, 1);
    acpi_put(b, AML_ARG0, 1);
    acpi_put(b, word ? AML_WORD : AML_BYTE, 1);
    acpi_put(b, middle, word ? 2 : 1);
    put_search(b, copies, first, middle - 1);
    acpi_package_end(b, package);
    package = acpi_package_begin(b, AML_ELSE);
    put_search(b, copies, middle, last);
    acpi_package_end(b, package);
}

void acpi_put_notify(struct acpi_buffer *b, const char *name, const struct acpi_copies *copies)
{
    size_t method = acpi_package_begin(b, AML_METHOD);

    acpi_append(b, name, ACPI_SEGMENT);
    acpi_put(b, AML_SERIALIZED | 2, 1);
    if (copies->count)
        put_search(b, copies, copies->first, copies->first + copies->count - 1);
    acpi_package_end(b, method);
}

const char *acpi_put_calls(struct acpi_buffer *b, const char *name, const char *const *calls)
{
    size_t method = acpi_package_begin(b, AML_METHOD);

    acpi_append(b, name, ACPI_SEGMENT);
    acpi_put(b, AML_SERIALIZED, 1);
    for (; *calls; calls++)
        if (!acpi_put_path(b, *calls))
            return *calls;
    acpi_package_end(b, method);
    return NULL;
}
