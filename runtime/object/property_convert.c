/* property_convert.c: converts a lunik_value to the type of a property; error messages. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"

/* ---- error messages ------------------------------------------------------------------------- */

static void value_text(const lunik_value *v, char *buf, size_t size)
{
    switch (v->kind) {
    case LUNIK_NIL:
        snprintf(buf, size, "nil");
        break;
    case LUNIK_BOOL:
        snprintf(buf, size, "%s", v->boolean ? "true" : "false");
        break;
    case LUNIK_INT:
        snprintf(buf, size, "%" PRId64, v->sint);
        break;
    case LUNIK_UINT:
        snprintf(buf, size, "%" PRIu64, v->uint);
        break;
    case LUNIK_STRING:
        snprintf(buf, size, "'%s'", v->string);
        break;
    case LUNIK_LIST:
        snprintf(buf, size, "a list of %zu values", v->list.count);
        break;
    }
}

static const char *kind_text(lunik_prop_kind kind)
{
    switch (kind) {
    case LUNIK_PROP_SIZE:
        return "a size";
    case LUNIK_PROP_UINT:
        return "a number";
    case LUNIK_PROP_INT:
        return "an integer";
    case LUNIK_PROP_BOOL:
        return "a boolean";
    case LUNIK_PROP_ENUM:
        return "one of the choices";
    case LUNIK_PROP_STRING:
        return "a string";
    case LUNIK_PROP_LINK:
        return "an id";
    case LUNIK_PROP_UINT_LIST:
        return "a list of numbers";
    }
    return "";
}

bool prop_limited(const lunik_prop *p)
{
    return p->max || (p->kind == LUNIK_PROP_INT && p->min);
}

static void range_text(const lunik_prop *p, char *buf, size_t size)
{
    bool is_signed = p->kind == LUNIK_PROP_INT;

    if (is_signed && !prop_limited(p))
        snprintf(buf, size, "%" PRId64 " to %" PRId64, INT64_MIN, INT64_MAX);
    else if (!is_signed && !p->max)
        snprintf(buf, size, "at least %" PRIu64, p->min);
    else if (is_signed)
        snprintf(buf, size, "%" PRId64 " to %" PRId64, (int64_t)p->min, (int64_t)p->max);
    else
        snprintf(buf, size, "%" PRIu64 " to %" PRIu64, p->min, p->max);
}

static void choices_text(const lunik_prop *p, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (const char *const *c = p->choices; *c && used < size; c++) {
        const char *glue = c == p->choices ? "" : c[1] ? ", " : " or ";
        used += (size_t)snprintf(buf + used, size - used, "%s%s", glue, *c);
    }
}

void prop_want_text(const lunik_prop *p, char *buf, size_t size)
{
    switch (p->kind) {
    case LUNIK_PROP_SIZE:
        snprintf(buf, size, "e.g. 512M, 4G");
        break;
    case LUNIK_PROP_UINT:
    case LUNIK_PROP_INT:
        range_text(p, buf, size);
        break;
    case LUNIK_PROP_BOOL:
        snprintf(buf, size, "true or false");
        break;
    case LUNIK_PROP_ENUM:
        choices_text(p, buf, size);
        break;
    case LUNIK_PROP_STRING:
        snprintf(buf, size, "a string");
        break;
    case LUNIK_PROP_LINK:
        snprintf(buf, size, "the id of a %s", p->link ? p->link : "object");
        break;
    case LUNIK_PROP_UINT_LIST:
        snprintf(buf, size, "e.g. {0, 1}");
        break;
    }
}

static int fail_kind(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                     lunik_error *err)
{
    char got[256], want[256];

    value_text(v, got, sizeof(got));
    prop_want_text(p, want, sizeof(want));
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: %s is not %s (want %s)", o->type_name, p->name,
                      got, kind_text(p->kind), want);
}

static int fail_range(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                      lunik_error *err)
{
    char got[256], want[64];

    value_text(v, got, sizeof(got));
    range_text(p, want, sizeof(want));
    return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: %s is out of range (want %s)", o->type_name,
                      p->name, got, want);
}

int prop_fail_memory(const lunik_object *o, const lunik_prop *p, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: %s: out of memory", o->type_name, p->name);
}

/* ---- conversion ----------------------------------------------------------------------------- */

/* Parses a string that is a number. For a negative one, *out is the two's complement and *negative
 * is set. */
static bool parse_number(const char *text, uint64_t *out, bool *negative)
{
    const char *digits = text + (text[0] == '-');
    unsigned long long number;
    char *end;

    if (digits[0] < '0' || digits[0] > '9')
        return false;
    errno = 0;
    number = strtoull(digits, &end, digits[0] == '0' && (digits[1] | 0x20) == 'x' ? 16 : 10);
    if (*end || errno)
        return false;
    *negative = text[0] == '-' && number;
    if (*negative && number > (uint64_t)INT64_MAX + 1)
        return false;
    *out = *negative ? 0 - (uint64_t)number : (uint64_t)number;
    return true;
}

static bool value_number(const lunik_value *v, uint64_t *out, bool *negative)
{
    switch (v->kind) {
    case LUNIK_UINT:
        *out = v->uint;
        *negative = false;
        return true;
    case LUNIK_INT:
        *out = (uint64_t)v->sint;
        *negative = v->sint < 0;
        return true;
    case LUNIK_STRING:
        if (parse_number(v->string, out, negative))
            return true;
        *negative = false; /* else "64K", as sizes and addresses are written */
        return !lunik_parse_size(v->string, "", out, NULL);
    default:
        return false;
    }
}

static int convert_unsigned(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                            uint64_t *out, lunik_error *err)
{
    uint64_t number;
    bool negative = false;

    if (p->kind == LUNIK_PROP_SIZE && v->kind == LUNIK_STRING && v->string[0] != '-') {
        char what[128];
        snprintf(what, sizeof(what), "%s: %s", o->type_name, p->name);
        int rc = lunik_parse_size(v->string, what, &number, err);
        if (rc)
            return rc;
    } else if (!value_number(v, &number, &negative)) {
        return fail_kind(o, p, v, err);
    }
    if (negative || number < p->min || (p->max && number > p->max))
        return fail_range(o, p, v, err);
    *out = number;
    return 0;
}

static int convert_signed(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                          uint64_t *out, lunik_error *err)
{
    uint64_t number;
    bool negative;

    if (!value_number(v, &number, &negative))
        return fail_kind(o, p, v, err);
    if ((!negative && number > INT64_MAX) ||
        (prop_limited(p) &&
         ((int64_t)number < (int64_t)p->min || (int64_t)number > (int64_t)p->max)))
        return fail_range(o, p, v, err);
    *out = number;
    return 0;
}

static int convert_bool(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                        uint64_t *out, lunik_error *err)
{
    static const char *const words[2][3] = {{"off", "false", "no"}, {"on", "true", "yes"}};

    if (v->kind == LUNIK_BOOL) {
        *out = v->boolean;
        return 0;
    }
    if (v->kind == LUNIK_STRING)
        for (unsigned truth = 0; truth < 2; truth++)
            for (unsigned i = 0; i < 3; i++)
                if (!strcmp(v->string, words[truth][i])) {
                    *out = truth;
                    return 0;
                }
    return fail_kind(o, p, v, err);
}

static int convert_enum(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                        uint64_t *out, lunik_error *err)
{
    if (v->kind == LUNIK_STRING)
        for (uint64_t i = 0; p->choices[i]; i++)
            if (!strcmp(v->string, p->choices[i])) {
                *out = i;
                return 0;
            }
    return fail_kind(o, p, v, err);
}

static int convert_link(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                        lunik_object **out, lunik_error *err)
{
    lunik_object *target;

    if (v->kind != LUNIK_STRING)
        return fail_kind(o, p, v, err);
    target = lunik_object_find(o->machine, v->string);
    if (!target)
        return lunik_fail(err, LUNIK_E_NOT_FOUND,
                          "%s: %s: there is no object '%s' (want the id of a %s)", o->type_name,
                          p->name, v->string, p->link ? p->link : "object");
    if (p->link && !type_is(target->type, p->link))
        return lunik_fail(err, LUNIK_E_INVALID, "%s: %s: '%s' is a %s (want the id of a %s)",
                          o->type_name, p->name, v->string, target->type_name, p->link);
    if (target->plug == LUNIK_PLUG_REQUESTED)
        return lunik_fail(err, LUNIK_E_BUSY, "%s: %s: '%s' is being unplugged", o->type_name,
                          p->name, v->string);
    *out = target;
    return 0;
}

/* Converts a list, or one number to a list of one. */
static int convert_list(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                        lunik_uint_list *out, lunik_error *err)
{
    const lunik_value *items = v->kind == LUNIK_LIST ? v->list.items : v;
    size_t count = v->kind == LUNIK_LIST ? v->list.count : 1;
    lunik_uint_list list = {NULL, count};

    if (count > SIZE_MAX / sizeof(uint64_t) - 8)
        return prop_fail_memory(o, p, err);
    list.items = prop_alloc(count * sizeof(uint64_t));
    if (!list.items)
        return prop_fail_memory(o, p, err);
    for (size_t i = 0; i < count; i++) {
        int rc = convert_unsigned(o, p, &items[i], &list.items[i], err);
        if (rc) {
            prop_free(list.items);
            return rc;
        }
    }
    *out = list;
    return 0;
}

int prop_convert(const lunik_object *o, const lunik_prop *p, const lunik_value *v,
                 union converted *out, lunik_error *err)
{
    switch (p->kind) {
    case LUNIK_PROP_SIZE:
    case LUNIK_PROP_UINT:
        return convert_unsigned(o, p, v, &out->number, err);
    case LUNIK_PROP_INT:
        return convert_signed(o, p, v, &out->number, err);
    case LUNIK_PROP_BOOL:
        return convert_bool(o, p, v, &out->number, err);
    case LUNIK_PROP_ENUM:
        return convert_enum(o, p, v, &out->number, err);
    case LUNIK_PROP_STRING:
        if (v->kind != LUNIK_STRING)
            return fail_kind(o, p, v, err);
        out->string = v->string;
        return 0;
    case LUNIK_PROP_LINK:
        return convert_link(o, p, v, &out->link, err);
    case LUNIK_PROP_UINT_LIST:
        return convert_list(o, p, v, &out->list, err);
    }
    return LUNIK_E_INVALID;
}
