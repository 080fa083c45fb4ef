/* call.c: reads a request's line and writes an answer's. */
#include "call.h"
#include "sys.h"

#include <errno.h>

/* ---- requests -------------------------------------------------------------------------------- */

/* Cuts the checksum off the end of the line; false if it is wrong. */
static bool check_crc(char *line)
{
    size_t length = text_length(line);
    char want[16];
    struct text t = {want, sizeof(want) - 1, 0, false};

    if (length >= 3 && text_equal(line + length - 3, " *-")) {
        line[length - 3] = '\0';
        return true;
    }
    if (length < 10)
        return false;
    text_put(&t, " *");
    text_put_hex(&t, text_crc32(line, length - 10), 8);
    want[t.used] = '\0';
    if (!text_equal(line + length - 10, want))
        return false;
    line[length - 10] = '\0';
    return true;
}

/* Cuts the next word off. Returns "" at the end. */
static char *next_word(char **at)
{
    char *word = *at;

    while (**at && **at != ' ')
        ++*at;
    if (**at)
        *(*at)++ = '\0';
    return word;
}

static bool parse_argument(struct call *c, char *word)
{
    struct arg *arg = &c->args[c->count];
    char *at = word;
    bool base64;
    long size;

    while (*at && *at != '=' && *at != ':')
        at++;
    if (!*at || at == word || c->count == CALL_ARGS)
        return false;
    base64 = *at == ':';
    *at = '\0';
    if (call_find(c, word))
        return false;
    size = base64 ? text_base64(at + 1) : text_unescape(at + 1);
    if (size < 0)
        return false;
    *arg = (struct arg){word, at + 1, (size_t)size};
    c->count++;
    return true;
}

long call_parse(struct call *c, char *line)
{
    char *at = line + 1;
    int64_t id;

    c->id = c->count = 0;
    c->rc = 0;
    c->why[0] = '\0';
    c->command = "";
    if (line[0] != '@' || !check_crc(line))
        return -EBADMSG;
    if (!text_number(next_word(&at), &id) || id < 1 || id > UINT32_MAX)
        return -EBADMSG;
    c->id = (uint32_t)id;
    c->command = next_word(&at);
    while (*at) {
        if (!parse_argument(c, next_word(&at))) {
            call_about(c, "the request can't be read: an argument is not NAME=TEXT or NAME:BASE64, "
                          "is there twice, or is one too many");
            return -EINVAL;
        }
    }
    return 0;
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* Adds text to what an error is about; leaves out what does not fit. */
static void add_why(struct call *c, const char *words)
{
    size_t used = text_length(c->why);

    while (*words && used < sizeof(c->why) - 1)
        c->why[used++] = *words++;
    c->why[used] = '\0';
}

void call_about(struct call *c, const char *words)
{
    if (c->why[0])
        add_why(c, ": ");
    add_why(c, words);
}

void call_complain(struct call *c, const char *name, const char *what)
{
    const struct arg *arg = call_find(c, name);

    if (c->rc)
        return;
    c->rc = -EINVAL;
    c->why[0] = '\0';
    add_why(c, "argument ");
    add_why(c, name);
    if (arg) {
        add_why(c, ": '");
        add_why(c, arg->value);
        add_why(c, "'");
    }
    add_why(c, " ");
    add_why(c, what);
}

const struct arg *call_find(const struct call *c, const char *name)
{
    for (unsigned i = 0; i < c->count; i++)
        if (text_equal(c->args[i].name, name))
            return &c->args[i];
    return NULL;
}

void call_known(struct call *c, const char *names)
{
    for (unsigned i = 0; i < c->count; i++)
        if (!text_has_word(names, c->args[i].name))
            call_complain(c, c->args[i].name, "is not known to this command");
}

const char *call_text_or(struct call *c, const char *name, const char *otherwise)
{
    const struct arg *arg = call_find(c, name);

    if (!arg)
        return otherwise;
    if (text_length(arg->value) != arg->size)
        call_complain(c, name, "has a zero byte");
    return arg->value;
}

const char *call_text(struct call *c, const char *name)
{
    if (!call_find(c, name))
        call_complain(c, name, "is missing");
    return call_text_or(c, name, "");
}

int64_t call_number_or(struct call *c, const char *name, int64_t otherwise)
{
    const struct arg *arg = call_find(c, name);
    int64_t number = 0;

    if (!arg)
        return otherwise;
    if (text_length(arg->value) != arg->size || !text_number(arg->value, &number))
        call_complain(c, name, "is not a number");
    return number;
}

int64_t call_number(struct call *c, const char *name)
{
    if (!call_find(c, name))
        call_complain(c, name, "is missing");
    return call_number_or(c, name, 0);
}

int64_t call_range(struct call *c, const char *name, int64_t least, int64_t most)
{
    int64_t number = call_number(c, name);

    if (!c->rc && (number < least || number > most))
        call_complain(c, name, "is out of range");
    return c->rc ? least : number;
}

const struct arg *call_data(struct call *c, const char *name)
{
    static const struct arg none = {"", "", 0};
    const struct arg *arg = call_find(c, name);

    if (!arg)
        call_complain(c, name, "is missing");
    return arg ? arg : &none;
}

int64_t call_deadline(struct call *c)
{
    int64_t timeout = call_number_or(c, "timeout", 10000);

    if (timeout < 0 || timeout > 3600000)
        call_complain(c, "timeout", "is out of range");
    return sys_now() + (c->rc ? 0 : timeout);
}

/* ---- answers --------------------------------------------------------------------------------- */

void answer_text(struct call *c, const char *name, const char *text)
{
    text_put(c->answer, " ");
    text_put(c->answer, name);
    text_put(c->answer, "=");
    text_put_escaped(c->answer, text, text_length(text));
}

void answer_number(struct call *c, const char *name, int64_t number)
{
    text_put(c->answer, " ");
    text_put(c->answer, name);
    text_put(c->answer, "=");
    text_put_number(c->answer, number);
}

void answer_data(struct call *c, const char *name, const void *data, size_t size)
{
    text_put(c->answer, " ");
    text_put(c->answer, name);
    text_put(c->answer, ":");
    text_put_base64(c->answer, data, size);
}

void answer_begin(struct text *t, uint32_t id, const char *kind)
{
    t->used = 0;
    t->full = false;
    text_put(t, "@");
    text_put_number(t, id);
    text_put(t, " ");
    text_put(t, kind);
}

void answer_error(struct call *c, long rc)
{
    answer_begin(c->answer, c->id, "error");
    answer_text(c, "errno", errno_name(-rc));
    answer_number(c, "number", -rc);
    if (c->why[0])
        answer_text(c, "message", c->why);
}

void answer_end(struct text *t)
{
    uint32_t crc = text_crc32(t->data, t->used);

    text_put(t, " *");
    text_put_hex(t, crc, 8);
    text_put(t, "\n");
}
