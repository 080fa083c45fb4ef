/*
 * search.c: searches the output kept by a chardev-buffer for a pattern.
 *
 * The guest writes the text, so a look at it is bounded: after SLICE steps it stops and reports
 * that there is more to do, and a single attempt that takes ATTEMPT steps is an error. An attempt
 * that has failed and could not succeed with more text is not repeated, so waiting for a line of a
 * long output takes time in proportion to its length.
 */
#include "bindings.h"
#include "pattern.h"

static const char search_class[] = "lunik.Search";

enum { SLICE = 1000 * 1000, ATTEMPT = 8 * SLICE };

#define NEVER UINT64_MAX

/* Positions count the bytes of output. A pass tries all positions of the text, in as many looks as
 * that takes. */
struct search {
    uint64_t next;  /* the position to try next */
    uint64_t retry; /* the first position to try again when there is more text */
    uint64_t seen;  /* the end of the text at the end of the last pass */
    bool passed;    /* the pass is complete */
    struct pattern pattern;
};

/* ---- the text ------------------------------------------------------------------------------- */

struct output {
    const lunik_chardev_buffer_ops *ops;
    lunik_object *o;
    uint64_t base, end;
    struct pattern_text text;
};

static void output_from(struct output *out, uint64_t position)
{
    uint64_t first = out->ops->first(out->o);

    out->end = out->ops->total(out->o);
    out->base = position < first ? first : position > out->end ? out->end : position;
    for (int i = 0; i < 2; i++) {
        uint64_t at = out->base + (i ? out->text.size[0] : 0);

        out->text.piece[i] = out->ops->span(out->o, at, &out->text.size[i]);
    }
}

/* ---- searching ------------------------------------------------------------------------------ */

/* Returns the item that matches the first character of any match; NULL if there is no such item. */
static const struct pattern_item *first_taken(const struct pattern *p)
{
    unsigned i = 0;

    while (i < p->count && (p->items[i].op == PATTERN_OPEN || p->items[i].op == PATTERN_POSITION))
        i++;
    if (i == p->count || p->items[i].op > PATTERN_SET)
        return NULL;
    return p->items[i].repeat && p->items[i].repeat != '+' ? NULL : &p->items[i];
}

static bool may_begin(const struct pattern_item *first, const struct pattern_text *t, size_t at)
{
    uint8_t byte;

    if (!first || at >= t->size[0] + t->size[1])
        return true;
    byte = at < t->size[0] ? t->piece[0][at] : t->piece[1][at - t->size[0]];
    return first->op == PATTERN_BYTE ? byte == first->byte : pattern_set_has(first->set, byte);
}

static void begin_look(struct search *s, const struct output *out)
{
    if (s->passed && s->seen != out->end) {
        s->next = s->retry < s->next ? s->retry : s->next;
        s->retry = NEVER;
        s->passed = false;
    }
    if (s->next < out->base)
        s->next = out->base;
    if (s->retry < out->base)
        s->retry = out->base;
}

/* Continues the search. PATTERN_MAYBE: there is more text to search. */
static enum pattern_result look(struct search *s, const struct output *out,
                                struct pattern_match *match)
{
    const struct pattern_item *first = first_taken(&s->pattern);
    uint64_t last = s->pattern.anchored ? out->base : out->end, left = SLICE;

    begin_look(s, out);
    for (; s->next <= last; s->next++) {
        uint64_t steps = ATTEMPT, used = 1;
        size_t at = (size_t)(s->next - out->base);

        if (!left)
            return PATTERN_MAYBE;
        if (may_begin(first, &out->text, at)) {
            enum pattern_result result = pattern_at(&s->pattern, &out->text, at, &steps, match);

            if (result == PATTERN_YES || result == PATTERN_COSTLY)
                return result;
            if (result == PATTERN_MAYBE && s->next < s->retry)
                s->retry = s->next;
            used += ATTEMPT - steps;
        }
        left -= used < left ? used : left;
    }
    s->passed = true;
    s->seen = out->end;
    return PATTERN_NO;
}

/* ---- Lua ------------------------------------------------------------------------------------ */

/* core.search(pattern, plain) -> search, for one wait */
int bind_lua_search_new(lua_State *L)
{
    size_t length;
    const char *source = bind_data(L, 1, "expect: pattern", &length), *wrong;
    bool plain = lua_toboolean(L, 2);
    struct search *s =
        lua_newuserdatauv(L, offsetof(struct search, pattern) + pattern_bytes(length), 1);

    *s = (struct search){.retry = NEVER};
    wrong = pattern_compile(&s->pattern, source, length, plain);
    if (wrong)
        bind_fail(L, LUNIK_E_INVALID,
                  "expect: '%s' is not a pattern: it %s (want a Lua pattern, or plain = true for "
                  "the text itself)",
                  source, wrong);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, search_class);
    return 1;
}

static void push_text(lua_State *L, const struct pattern_text *t, size_t start, size_t size)
{
    size_t before = start < t->size[0] ? t->size[0] - start : 0;
    size_t run = size < before ? size : before;
    luaL_Buffer out;

    luaL_buffinitsize(L, &out, size);
    if (run)
        luaL_addlstring(&out, (const char *)t->piece[0] + start, run);
    if (size > run)
        luaL_addlstring(&out, (const char *)t->piece[1] + (start + run - t->size[0]), size - run);
    luaL_pushresult(&out);
}

static int push_match(lua_State *L, const struct search *s, const struct output *out,
                      const struct pattern_match *match)
{
    unsigned count = s->pattern.captures;

    luaL_checkstack(L, PATTERN_CAPTURES + 2, NULL);
    lua_pushinteger(L, (lua_Integer)out->base + (lua_Integer)match->end);
    if (!count)
        push_text(L, &out->text, match->start, match->end - match->start);
    for (unsigned i = 0; i < count; i++) {
        if (match->captures[i].length == PATTERN_WHERE)
            lua_pushinteger(L, (lua_Integer)match->captures[i].start + 1);
        else
            push_text(L, &out->text, match->captures[i].start, (size_t)match->captures[i].length);
    }
    return 1 + (count ? (int)count : 1);
}

/* core.buffer_search(object, search, position) -> the end of the first match after position and its
 * captures, or the whole match without captures; nil: none yet; false: there is more to search */
int bind_lua_buffer_search(lua_State *L)
{
    struct output out = {.o = bind_object(L, 1)};
    struct search *s = luaL_checkudata(L, 2, search_class);
    struct pattern_match match;

    out.ops = lunik_chardev_buffer_iface(out.o);
    if (!out.ops)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "object '%s' is a %s (want a chardev-buffer)",
                  lunik_object_id(out.o), lunik_object_type_name(out.o));
    output_from(&out, bind_u64(L, 3, "search: position"));
    switch (look(s, &out, &match)) {
    case PATTERN_YES:
        return push_match(L, s, &out, &match);
    case PATTERN_COSTLY:
        lua_getiuservalue(L, 2, 1);
        bind_fail(L, LUNIK_E_UNSUPPORTED,
                  "expect: pattern: '%s' takes too many steps on what the guest has printed (want "
                  "one that repeats less, or plain = true)",
                  lua_tostring(L, -1));
    case PATTERN_MAYBE:
        lua_pushboolean(L, false);
        return 1;
    default:
        lua_pushnil(L);
        return 1;
    }
}

void bind_search_open(lua_State *L)
{
    luaL_newmetatable(L, search_class);
    lua_pop(L, 1);
}
