/* buffer.c: a growing byte buffer, little-endian numbers and the header that tables share. */
#include <stdlib.h>
#include <string.h>

#include "acpi.h"

#define HEADER_LENGTH   4
#define HEADER_CHECKSUM 9

uint8_t *acpi_append(struct acpi_buffer *b, const void *data, size_t size)
{
    if (b->failed)
        return NULL;
    if (size > b->capacity - b->size) {
        size_t capacity = b->capacity ? b->capacity : 4096;
        while (capacity - b->size < size)
            capacity *= 2;
        uint8_t *grown = realloc(b->data, capacity);
        if (!grown) {
            b->failed = true;
            return NULL;
        }
        b->data = grown;
        b->capacity = capacity;
    }
    uint8_t *to = b->data + b->size;
    if (data)
        memcpy(to, data, size);
    else
        memset(to, 0, size);
    b->size += size;
    return to;
}

void acpi_put(struct acpi_buffer *b, uint64_t value, unsigned width)
{
    if (acpi_append(b, NULL, width))
        acpi_set(b, b->size - width, value, width);
}

void acpi_set(struct acpi_buffer *b, size_t offset, uint64_t value, unsigned width)
{
    if (b->failed)
        return;
    for (unsigned i = 0; i < width; i++)
        b->data[offset + i] = (uint8_t)(value >> (8 * i));
}

void acpi_put_digits(struct acpi_buffer *b, uint64_t value, unsigned width)
{
    if (acpi_append(b, NULL, width))
        acpi_set_digits(b, b->size - width, value, width);
}

void acpi_set_digits(struct acpi_buffer *b, size_t offset, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        unsigned digit = (unsigned)(value >> (4 * (width - 1 - i))) & 0xf;
        acpi_set(b, offset + i, (uint8_t) "0123456789ABCDEF"[digit], 1);
    }
}

void acpi_align(struct acpi_buffer *b, size_t align)
{
    acpi_append(b, NULL, (align - b->size % align) % align);
}

uint8_t acpi_checksum(const uint8_t *data, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)(0x100 - sum);
}

size_t acpi_table_begin(struct acpi_buffer *b, const char *signature, uint8_t revision)
{
    acpi_align(b, 16);
    size_t start = b->size;
    acpi_append(b, signature, 4);
    acpi_put(b, 0, 4); /* length */
    acpi_put(b, revision, 1);
    acpi_put(b, 0, 1); /* checksum */
    acpi_append(b, "LUNIK ", 6);
    acpi_append(b, "LUNIK   ", 8);
    acpi_put(b, 1, 4); /* OEM revision */
    acpi_append(b, "LUNI", 4);
    acpi_put(b, 1, 4); /* creator revision */
    return start;
}

void acpi_table_end(struct acpi_buffer *b, size_t start)
{
    if (b->failed)
        return;
    acpi_set(b, start + HEADER_LENGTH, b->size - start, 4);
    acpi_table_resum(b, start);
}

void acpi_table_resum(struct acpi_buffer *b, size_t start)
{
    if (b->failed)
        return;
    uint8_t *table = b->data + start;
    const uint8_t *length = table + HEADER_LENGTH;

    table[HEADER_CHECKSUM] = 0;
    table[HEADER_CHECKSUM] = acpi_checksum(table, length[0] | length[1] << 8 | length[2] << 16 |
                                                      (size_t)length[3] << 24);
}
