/*
 * fuzz_agent.c: the codec of the agent of Linux guests: lines as requests, and codings there and
 * back. -max_len=2048 -runs=60000
 */
#include "fuzz.h"

#include <errno.h>

/* The agent is a program of its own without a C library; this is the part that reads what comes. */
#include "../guests/agent/call.c"
#include "../guests/agent/errno.c"
#include "../guests/agent/text.c"

int64_t sys_now(void)
{
    return 0;
}

static void check_codings(const uint8_t *data, size_t size)
{
    char escaped[3 * 2048 + 1], base64[4 * 2048 + 1];
    struct text e = {escaped, sizeof(escaped) - 1, 0, false};
    struct text b = {base64, sizeof(base64) - 1, 0, false};

    text_put_escaped(&e, data, size);
    escaped[e.used] = '\0';
    fuzz_check(!e.full && !strpbrk(escaped, " @*\n"), "'%s'", escaped);
    fuzz_check(text_unescape(escaped) == (long)size && memcmp(escaped, data, size) == 0, "%s",
               "what was escaped comes back changed");
    text_put_base64(&b, data, size);
    base64[b.used] = '\0';
    fuzz_check(!b.full && b.used == (size + 2) / 3 * 4, "%zu digits for %zu bytes", b.used, size);
    fuzz_check(text_base64(base64) == (long)size && memcmp(base64, data, size) == 0, "%s",
               "what was coded comes back changed");
}

/* What is decoded at all is what the encoder writes for it. */
static void check_decoding(const uint8_t *data, size_t size)
{
    char text[2049], again[4 * 2048];
    struct text t = {again, sizeof(again), 0, false};
    long n;

    memcpy(text, data, size);
    text[size] = '\0';
    n = text_base64(text);
    if (n < 0)
        return;
    text_put_base64(&t, text, (size_t)n);
    fuzz_check(t.used == strlen((const char *)data) && memcmp(again, data, t.used) == 0,
               "%ld bytes were decoded from another coding", n);
}

static void check_number(const char *text)
{
    char again[32];
    struct text t = {again, sizeof(again) - 1, 0, false};
    int64_t number = 0;

    if (!text_number(text, &number) || strncmp(text, "0x", 2) == 0)
        return;
    text_put_number(&t, number);
    again[t.used] = '\0';
    fuzz_check(number == strtoll(text, NULL, 10), "'%s' is read as %s", text, again);
}

/* Every argument lies inside the line, and reading it as anything never fails silently. */
static void check_request(char *line, size_t size)
{
    char out[CALL_LINE + 64];
    struct text answer = {out, sizeof(out), 0, false};
    struct call c = {.answer = &answer};
    long rc = call_parse(&c, line);

    fuzz_check(rc == 0 || rc == -EINVAL || rc == -EBADMSG, "%ld", rc);
    fuzz_check(rc == -EBADMSG ? c.id == 0 : c.id > 0, "ID %u, %ld", c.id, rc);
    for (unsigned i = 0; i < c.count; i++) {
        const struct arg *arg = &c.args[i];

        fuzz_check(arg->name > line && arg->value + arg->size <= line + size, "%s", arg->name);
        fuzz_check(call_data(&c, arg->name) == call_find(&c, arg->name), "%s", arg->name);
        call_text(&c, arg->name);
        call_number(&c, arg->name);
        check_number(arg->value);
    }
    call_known(&c, "path offset size");
    call_range(&c, "size", 0, 8192);
    fuzz_check(strlen(c.why) < sizeof(c.why), "%zu", strlen(c.why));
    answer_error(&c, c.rc ? c.rc : -EIO);
    answer_end(&answer);
    fuzz_check(!answer.full && out[answer.used - 1] == '\n', "%zu", answer.used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[2049];
    uint8_t text[2049];

    if (size > 2048)
        return -1;
    memcpy(text, data, size);
    text[size] = '\0';
    check_codings(data, size);
    check_decoding(text, strlen((char *)text));
    memcpy(line, data, size);
    line[size] = '\0';
    check_request(line, size);
    return 0;
}
