/* trace.h: the points of the runtime that report steps; see lunik_trace.h. */
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include "lunik_trace.h"
#include "machine.h"

/* Any thread. */
static inline bool trace_on(const lunik_machine *m)
{
    return __builtin_expect(sub_list_any(&m->trace_subs), 0);
}

/* Like the functions of lunik_trace.h, for a machine that is traced. Lock held. */
void trace_step(lunik_machine *m, const lunik_step *step);
void trace_begin(lunik_machine *m, lunik_span *span, const lunik_step *step);
void trace_end(lunik_span *span, int rc, const lunik_error *err, const lunik_field *fields,
               size_t count);
/* lunik_trace_about() for the device of that name and type. */
void trace_about(lunik_machine *m, const char *device, const char *driver);
/* True if a subscriber asks for accesses that have no part in hotplug. */
bool trace_wants_accesses(const lunik_machine *m);
/* True on a thread that is making a step of the machine. */
bool trace_in_step(const lunik_machine *m);

/* Reports a step. The rest of the arguments initialize a lunik_step. */
#define TRACE(m, ...)                                                                              \
    do {                                                                                           \
        if (trace_on(m))                                                                           \
            trace_step((m), &(const lunik_step){__VA_ARGS__});                                     \
    } while (0)

#define TRACE_BEGIN(m, span, ...)                                                                  \
    do {                                                                                           \
        (span)->machine = NULL;                                                                    \
        if (trace_on(m))                                                                           \
            trace_begin((m), (span), &(const lunik_step){__VA_ARGS__});                            \
    } while (0)

static inline void trace_finish(lunik_span *span, int rc, const lunik_error *err)
{
    if (__builtin_expect(span->machine != NULL, 0))
        trace_end(span, rc, err, NULL, 0);
}

#endif
