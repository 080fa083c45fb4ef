/* fw_cfg_items.c: the items of the firmware configuration interface; see fw_cfg_chip.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fw_cfg_chip.h"

/* How an item is called in messages. */
#define ITEM_TEXT 80

static const char *describe(char buf[ITEM_TEXT], const char *name, uint16_t key)
{
    if (name)
        snprintf(buf, ITEM_TEXT, "file '%s'", name);
    else
        snprintf(buf, ITEM_TEXT, "item 0x%x", key);
    return buf;
}

struct fw_cfg_item *fw_cfg_item(const struct fw_cfg_chip *c, const char *name, uint16_t key)
{
    for (size_t i = 0; i < c->count; i++)
        if (name ? !strcmp(c->items[i]->name, name) : c->items[i]->key == key)
            return c->items[i];
    return NULL;
}

/* ---- contents ------------------------------------------------------------------------------- */

void fw_cfg_bytes_put(struct fw_cfg_bytes *bytes)
{
    if (bytes && !--bytes->refs)
        free(bytes);
}

static struct fw_cfg_bytes *new_bytes(const void *data, size_t size, const char *what,
                                      lunik_error *err)
{
    struct fw_cfg_bytes *bytes;

    if (size > UINT32_MAX) {
        lunik_fail(err, LUNIK_E_INVALID, "fw-cfg: %s: '%zu' bytes is too much (want less than 4G)",
                   what, size);
        return NULL;
    }
    bytes = malloc(sizeof(*bytes) + size);
    if (!bytes) {
        lunik_fail(err, LUNIK_E_NO_MEMORY, "fw-cfg: %s: no memory for %zu bytes", what, size);
        return NULL;
    }
    bytes->refs = 1;
    bytes->size = size;
    if (size)
        memcpy(bytes->data, data, size);
    return bytes;
}

int fw_cfg_set(struct fw_cfg_chip *c, const char *name, uint16_t key, const void *data, size_t size,
               lunik_error *err)
{
    char what[ITEM_TEXT];
    struct fw_cfg_item *item = fw_cfg_item(c, name, key);

    describe(what, name, key);
    if (!item)
        return lunik_fail(err, LUNIK_E_NOT_FOUND, "fw-cfg: %s does not exist", what);
    struct fw_cfg_bytes *bytes = new_bytes(data, size, what, err);
    if (!bytes)
        return size > UINT32_MAX ? LUNIK_E_INVALID : LUNIK_E_NO_MEMORY;
    fw_cfg_bytes_put(item->bytes);
    item->bytes = bytes;
    return 0;
}

const void *fw_cfg_find(struct fw_cfg_chip *c, const char *name, uint16_t key, size_t *size)
{
    const struct fw_cfg_item *item = fw_cfg_item(c, name, key);

    if (item && item->source.select) {
        item->source.select(item->source.opaque);
        item = fw_cfg_item(c, name, key);
    }
    *size = item ? item->bytes->size : 0;
    return item ? item->bytes->data : NULL;
}

const char *fw_cfg_file_name(const struct fw_cfg_chip *c, size_t index)
{
    for (size_t i = 0; i < c->count; i++)
        if (*c->items[i]->name && !index--)
            return c->items[i]->name;
    return NULL;
}

/* ---- adding --------------------------------------------------------------------------------- */

/* Names are printable ASCII, so that guests show them and errors stay on one line. */
static int check_name(const char *name, lunik_error *err)
{
    size_t length = strlen(name);
    bool bad = !length || length >= LUNIK_FW_CFG_NAME_SIZE;

    for (size_t i = 0; i < length && !bad; i++)
        bad = name[i] < 0x21 || name[i] > 0x7e;
    if (bad)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "fw-cfg: name: '%.*s' is not possible (want 1 to %d characters, ASCII "
                          "without spaces)",
                          LUNIK_FW_CFG_NAME_SIZE, name, LUNIK_FW_CFG_NAME_SIZE - 1);
    return 0;
}

static int check_key(uint16_t key, lunik_error *err)
{
    unsigned number = key & ~(unsigned)FW_CFG_ARCHITECTURE;

    if (key & FW_CFG_WRITE || key == FW_CFG_DIRECTORY || number > FW_CFG_FILE_LAST ||
        (key >= FW_CFG_FILE_FIRST && key <= FW_CFG_FILE_LAST))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "fw-cfg: item: '0x%x' is not possible (want 0 to 0x%x but 0x%x, which is "
                          "the directory, or 0x%x to 0x%x)",
                          key, FW_CFG_FILE_FIRST - 1, FW_CFG_DIRECTORY, FW_CFG_ARCHITECTURE,
                          FW_CFG_ARCHITECTURE | FW_CFG_FILE_LAST);
    return 0;
}

static int check(const struct fw_cfg_chip *c, const char *name, uint16_t key, lunik_error *err)
{
    char what[ITEM_TEXT];
    int rc = name ? check_name(name, err) : check_key(key, err);

    if (rc)
        return rc;
    if (fw_cfg_item(c, name, key))
        return lunik_fail(err, LUNIK_E_EXISTS, "fw-cfg: %s exists already",
                          describe(what, name, key));
    if (name && c->files > FW_CFG_FILE_LAST - FW_CFG_FILE_FIRST)
        return lunik_fail(err, LUNIK_E_NO_SPACE, "fw-cfg: %s is too much (there can be %d files)",
                          describe(what, name, key), FW_CFG_FILE_LAST - FW_CFG_FILE_FIRST + 1);
    return 0;
}

static int make_room(struct fw_cfg_chip *c, lunik_error *err)
{
    size_t room = c->room ? 2 * c->room : 32;
    struct fw_cfg_item **items;

    if (c->count < c->room)
        return 0;
    items = realloc(c->items, room * sizeof(struct fw_cfg_item *));
    if (!items)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "fw-cfg: no memory for another item");
    c->items = items;
    c->room = room;
    return 0;
}

int fw_cfg_add(struct fw_cfg_chip *c, const char *name, uint16_t key,
               const lunik_fw_cfg_source *source, lunik_error *err)
{
    char what[ITEM_TEXT];
    int rc = check(c, name, key, err);

    if (!rc)
        rc = make_room(c, err);
    if (rc)
        return rc;
    struct fw_cfg_bytes *bytes =
        new_bytes(source->data, source->size, describe(what, name, key), err);
    if (!bytes)
        return source->size > UINT32_MAX ? LUNIK_E_INVALID : LUNIK_E_NO_MEMORY;
    struct fw_cfg_item *item = calloc(1, sizeof(*item));
    if (!item) {
        fw_cfg_bytes_put(bytes);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "fw-cfg: no memory for %s", what);
    }
    *item = (struct fw_cfg_item){.key = key, .bytes = bytes, .source = *source};
    if (name) {
        snprintf(item->name, sizeof(item->name), "%s", name);
        item->key = (uint16_t)(FW_CFG_FILE_FIRST + c->files++);
    }
    c->items[c->count++] = item;
    return 0;
}

void fw_cfg_chip_free(struct fw_cfg_chip *c)
{
    while (c->count) {
        struct fw_cfg_item *item = c->items[--c->count];

        if (item->source.release)
            item->source.release(item->source.opaque);
        fw_cfg_bytes_put(item->bytes);
        free(item);
    }
    fw_cfg_bytes_put(c->directory);
    free(c->items);
    c->directory = NULL;
    c->current = NULL;
    c->items = NULL;
    c->room = 0;
    c->files = 0;
}

/* ---- the directory -------------------------------------------------------------------------- */

static uint8_t *put_big(uint8_t *p, uint32_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(value >> 8 * (width - 1 - i));
    return p + width;
}

static void refresh_files(struct fw_cfg_chip *c)
{
    /* The functions that are called may add files. */
    for (size_t i = 0; i < c->count; i++)
        if (*c->items[i]->name && c->items[i]->source.select)
            c->items[i]->source.select(c->items[i]->source.opaque);
}

void fw_cfg_list(struct fw_cfg_chip *c)
{
    refresh_files(c);

    size_t size = 4 + (size_t)c->files * FW_CFG_ENTRY_SIZE;
    struct fw_cfg_bytes *bytes = calloc(1, sizeof(*bytes) + size);

    fw_cfg_bytes_put(c->directory);
    c->directory = bytes;
    if (!bytes)
        return;
    bytes->refs = 1;
    bytes->size = size;
    uint8_t *p = put_big(bytes->data, c->files, 4);
    for (size_t i = 0; i < c->count; i++) {
        const struct fw_cfg_item *item = c->items[i];

        if (!*item->name)
            continue;
        p = put_big(p, (uint32_t)item->bytes->size, 4);
        p = put_big(p, item->key, 2) + 2;
        memcpy(p, item->name, sizeof(item->name));
        p += sizeof(item->name);
    }
}
