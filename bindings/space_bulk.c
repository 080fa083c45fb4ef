/* space_bulk.c: large operations on guest memory: fill, hash, strings, search; checks for mappings.
 */
#include <stdio.h>
#include <string.h>

#include "bindings.h"

static lunik_space *space(lua_State *L)
{
    return bind_check_open(L, 1, "lunik.Space")->ptr;
}

/* space:fill(address, length, [byte]) */
static int space_fill(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "fill: address"), size = bind_size(L, 3, "fill: length");
    int value = lua_isnoneornil(L, 4) ? 0 : (int)bind_int(L, 4, "fill: byte", 0, 255);

    bind_check_access(L, s, lunik_space_fill(s, address, (uint8_t)value, size), "fill", address,
                      size);
    return 0;
}

/* space:hash(address, length, ["xxh64"|"sha256"]) -> integer or hexadecimal string */
static int space_hash(lua_State *L)
{
    static const char *const kinds[] = {"xxh64", "sha256", NULL};
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "hash: address"), size = bind_size(L, 3, "hash: length");
    uint8_t digest[32];
    char text[65];
    uint64_t hash;

    if (lua_isnoneornil(L, 4) || !bind_choice(L, 4, "hash: kind", kinds)) {
        bind_check_access(L, s, lunik_space_hash(s, address, size, &hash), "hash", address, size);
        lua_pushinteger(L, (lua_Integer)hash);
        return 1;
    }
    bind_check_access(L, s, lunik_space_sha256(s, address, size, digest), "hash", address, size);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    lua_pushstring(L, text);
    return 1;
}

/* space:string(address, [max]) -> string; or nil and the first max bytes, if it is longer */
static int space_string(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "string: address");
    uint64_t left = lua_isnoneornil(L, 3) ? 4096 : bind_size(L, 3, "string: max");
    luaL_Buffer buffer;
    int rc = LUNIK_E_NO_SPACE;

    luaL_buffinit(L, &buffer);
    while (left && rc == LUNIK_E_NO_SPACE) {
        char part[512];
        size_t length, most = left < sizeof(part) - 1 ? (size_t)left : sizeof(part) - 1;

        rc = lunik_space_string(s, address, part, most + 1, &length);
        luaL_addlstring(&buffer, part, length);
        address += length;
        left -= length;
    }
    luaL_pushresult(&buffer);
    if (rc != LUNIK_E_NO_SPACE) {
        bind_check_access(L, s, rc, "string", address, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* space:find_bytes(address, length, data, mask or nil, align) -> address or nil */
static int space_find_bytes(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "search: from"),
             size = bind_bits(L, 3, "search: length", 8);
    lunik_pattern pattern = {.align = bind_size(L, 6, "search: align")};
    size_t mask_length;
    uint64_t found;
    int rc;

    pattern.data = (const uint8_t *)bind_data(L, 4, "search: bytes", &pattern.length);
    if (!pattern.length)
        bind_fail(L, LUNIK_E_INVALID, "search: bytes: '' is empty (want 1 byte or more)");
    if (!lua_isnil(L, 5)) {
        pattern.mask = (const uint8_t *)bind_data(L, 5, "search: mask", &mask_length);
        if (mask_length != pattern.length)
            bind_fail(L, LUNIK_E_INVALID, "search: mask: has %d bytes (want %d, as the bytes)",
                      (int)mask_length, (int)pattern.length);
    }
    rc = lunik_space_search(s, address, size, &pattern, &found);
    if (rc == LUNIK_E_NOT_FOUND) {
        lua_pushnil(L);
        return 1;
    }
    bind_check_access(L, s, rc, "search", address, size);
    lua_pushinteger(L, (lua_Integer)found);
    return 1;
}

/* space:shows(section) -> whether the space still shows the whole section at its address */
static int space_shows(lua_State *L)
{
    lunik_space *s = space(L);
    lunik_section now;
    const lunik_region *r;
    uint64_t address, offset, size;

    bind_table(L, 2, "shows: section");
    address = bind_address(L, bind_field(L, 2, "address"), "shows: address");
    offset = bind_address(L, bind_field(L, 2, "offset"), "shows: offset");
    size = bind_extent(L, bind_field(L, 2, "size"), "shows: size");
    bind_field(L, 2, "region");
    r = bind_region(L, -1);
    lua_pushboolean(L, lunik_space_find(s, address, &now) && now.region == r &&
                           now.offset + (address - now.address) == offset &&
                           size <= now.size - (address - now.address));
    return 1;
}

const luaL_Reg bind_space_bulk_methods[] = {
    {"fill", space_fill},
    {"hash", space_hash},
    {"string", space_string},
    {"find_bytes", space_find_bytes},
    {"shows", space_shows},
    {"why", bind_lua_why},
    {0},
};
