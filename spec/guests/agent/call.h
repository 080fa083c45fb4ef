/*
 * call.h: one request, its arguments, and the answer to it.
 *
 * The protocol. A request and its answer are a line each, which ends with "\n":
 *
 *   @ID COMMAND NAME=TEXT NAME:BASE64 ... *CRC
 *   @ID ok NAME=TEXT NAME:BASE64 ... *CRC
 *   @ID error errno=ENOENT number=2 message=TEXT *CRC
 *
 * ID is a number from 1 to 2^32-1 that the client chooses; answers without a request have ID 0. In
 * TEXT, bytes up to 0x20, from 0x7f on, '%', '@' and '*' are written %XX, so '@' is the first byte
 * of a line and nothing else: a reader finds the next line after any garbage, such as a kernel's
 * log on the same port. CRC is the CRC-32 of the bytes from '@' to before " *", as eight
 * hexadecimal digits; a person may write "*-" instead. A request with a wrong CRC is answered by
 * errno=EBADMSG with ID 0.
 *
 * A request with the ID of the one before is answered with the same answer, and not executed again:
 * a client that has got no answer, or a garbled one, just repeats its request.
 */
#ifndef AGENT_CALL_H
#define AGENT_CALL_H

#include "text.h"

#define CALL_LINE 16384 /* bytes of a request's line, and of an answer's, at most */
#define CALL_DATA 8192  /* bytes of data in one request or answer, at most */
#define CALL_ARGS 24

struct arg {
    const char *name, *value;
    size_t size; /* of the value, which a zero byte follows */
};

struct call {
    uint32_t id;
    const char *command;
    struct arg args[CALL_ARGS];
    unsigned count;
    long rc;       /* the first error of an argument; 0: none */
    char why[160]; /* what it is about, in words */
    struct text *answer;
};

/* Splits a line, without its end, which is overwritten. Returns 0, -EBADMSG for a wrong CRC or a
 * line that is no request, or -EINVAL for a request that can't be read; its id and command are then
 * set. */
long call_parse(struct call *c, char *line);

/* Fails for an argument whose name is not in the list of words. */
void call_known(struct call *c, const char *names);

/* Arguments. One that is missing or wrong sets c->rc and c->why, and is read as 0 or "": a command
 * reads all, then looks at c->rc. */
const char *call_text(struct call *c, const char *name);
const char *call_text_or(struct call *c, const char *name, const char *otherwise);
int64_t call_number(struct call *c, const char *name);
int64_t call_number_or(struct call *c, const char *name, int64_t otherwise);
int64_t call_range(struct call *c, const char *name, int64_t least, int64_t most);
const struct arg *call_data(struct call *c, const char *name);
const struct arg *call_find(const struct call *c, const char *name);

/* The deadline that the argument "timeout" (milliseconds, default 10,000) stands for. */
int64_t call_deadline(struct call *c);

/* Says what is wrong: "argument NAME: 'VALUE' WHAT". Keeps the first. */
void call_complain(struct call *c, const char *name, const char *what);

/* Adds words to what an error is about, such as a path. */
void call_about(struct call *c, const char *words);

/* Fields of the answer. */
void answer_text(struct call *c, const char *name, const char *text);
void answer_number(struct call *c, const char *name, int64_t number);
void answer_data(struct call *c, const char *name, const void *data, size_t size);

/* Writes the whole answer's line: what the command has put, or its error. */
void answer_begin(struct text *t, uint32_t id, const char *kind);
void answer_error(struct call *c, long rc);
void answer_end(struct text *t);

/* "ENOENT" for ENOENT; "E" for an unknown number. */
const char *errno_name(long number);

#endif
