/* data.c: data of higher layers, attached to machines and runtimes. */
#include <stdlib.h>
#include <string.h>

#include "misuse.h"
#include "runtime.h"

static struct attached *find(struct attached *list, const char *key)
{
    while (list && strcmp(list->key, key) != 0)
        list = list->next;
    return list;
}

static int set(struct attached **list, const char *key, void *data, void (*release)(void *))
{
    struct attached *a = find(*list, key);

    if (a) {
        if (a->release)
            a->release(a->data);
    } else {
        a = calloc(1, sizeof(*a));
        if (!a)
            return LUNIK_E_NO_MEMORY;
        a->key = key;
        a->next = *list;
        *list = a;
    }
    a->data = data;
    a->release = release;
    return 0;
}

static void *get(struct attached *list, const char *key)
{
    struct attached *a = find(list, key);

    return a ? a->data : NULL;
}

void data_release(struct attached **list)
{
    while (*list) {
        struct attached *a = *list;

        *list = a->next;
        if (a->release)
            a->release(a->data);
        free(a);
    }
}

int lunik_machine_set_data(lunik_machine *m, const char *key, void *data, void (*release)(void *))
{
    NOT_NULL(m, LUNIK_E_INVALID);
    NOT_NULL(key, LUNIK_E_INVALID);

    return set(&m->data, key, data, release);
}

void *lunik_machine_data(const lunik_machine *m, const char *key)
{
    NOT_NULL(m, NULL);
    NOT_NULL(key, NULL);

    return get(m->data, key);
}

int lunik_runtime_set_data(lunik_runtime *rt, const char *key, void *data, void (*release)(void *))
{
    NOT_NULL(rt, LUNIK_E_INVALID);
    NOT_NULL(key, LUNIK_E_INVALID);

    return set(&rt->data, key, data, release);
}

void *lunik_runtime_data(const lunik_runtime *rt, const char *key)
{
    NOT_NULL(rt, NULL);
    NOT_NULL(key, NULL);

    return get(rt->data, key);
}
