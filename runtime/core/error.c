/* error.c: filling in struct lunik_error. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "confinement.h"
#include "machine.h"

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Replaces control characters, which a name in the message may contain, so that the message is one
 * line and cannot control a terminal. */
static void print_plainly(char *text)
{
    for (; *text; text++)
        if (is_control(*text))
            *text = '?';
}

static void set_message(lunik_error *err, int code, int sys, const char *format, va_list args)
{
    if (!err)
        return;
    err->code = code;
    err->sys = sys;
    vsnprintf(err->message, sizeof(err->message), format, args);
    print_plainly(err->message);
}

int lunik_fail(lunik_error *err, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_message(err, code, 0, format, args);
    va_end(args);
    return code;
}

int name_check(const char *what, const char *name, lunik_error *err)
{
    for (const char *c = name; *c; c++)
        if (is_control(*c))
            return lunik_fail(err, LUNIK_E_INVALID, "%s: name: '%s' has a control character", what,
                              name);
    return 0;
}

static int code_of_errno(int sys)
{
    switch (sys) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return LUNIK_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return LUNIK_E_DENIED;
    case ENOMEM:
        return LUNIK_E_NO_MEMORY;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
        return LUNIK_E_NO_SPACE;
    case EEXIST:
        return LUNIK_E_EXISTS;
    case EBUSY:
    case EADDRINUSE:
        return LUNIK_E_BUSY;
    case ENOTSUP:
    case ENOSYS:
        return LUNIK_E_UNSUPPORTED;
    default:
        return LUNIK_E_IO;
    }
}

int lunik_fail_errno(lunik_error *err, int sys, const char *format, ...)
{
    int code = code_of_errno(sys);
    va_list args;

    va_start(args, format);
    set_message(err, code, sys, format, args);
    va_end(args);
    if (err) {
        const char *denial = code == LUNIK_E_DENIED ? confinement_denial() : NULL;
        size_t used = strlen(err->message);

        snprintf(err->message + used, sizeof(err->message) - used, ": %s",
                 denial ? denial : uv_strerror(-sys));
    }
    return code;
}

int lunik_fail_prefix(lunik_error *err, int code, const char *format, ...)
{
    char prefix[256];
    va_list args;
    size_t used, kept;

    if (!err)
        return code;
    va_start(args, format);
    vsnprintf(prefix, sizeof(prefix) - 2, format, args);
    va_end(args);
    strcat(prefix, ": ");
    print_plainly(prefix);
    used = strlen(prefix);
    kept = strlen(err->message);
    if (kept > sizeof(err->message) - used - 1)
        kept = sizeof(err->message) - used - 1;
    memmove(err->message + used, err->message, kept);
    memcpy(err->message, prefix, used);
    err->message[used + kept] = 0;
    return err->code;
}

const char *lunik_error_name(int code)
{
    switch (code) {
#define ERROR_CASE(name, value, lua, text)                                                         \
    case LUNIK_E_##name:                                                                           \
        return lua;
        LUNIK_ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown";
    }
}
