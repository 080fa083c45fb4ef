/* test_names.c [SEED]: a table of names against a plain array, with random changes. */
#include "core/names.h"

#include <stdlib.h>
#include <time.h>

#include "lunik_device.h"
#include "check.h"

enum { THINGS = 300, STEPS = 20000, NAMES = 100 };

static struct thing {
    struct named named;
    char name[16];
    bool present;
} things[THINGS];

static struct names table;

/* How many things of that name the table finds; SIZE_MAX if one of them should not be there. */
static size_t found(const char *name)
{
    size_t n = 0;

    for (struct named *at = names_find(&table, name, NULL); at; at = names_find(&table, name, at)) {
        const struct thing *thing = lunik_container_of(at, struct thing, named);
        if (!thing->present || strcmp(thing->name, name) != 0)
            return SIZE_MAX;
        n++;
    }
    return n;
}

static size_t expected(const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < THINGS; i++)
        n += things[i].present && !strcmp(things[i].name, name);
    return n;
}

static void change(struct thing *thing)
{
    if (thing->present) {
        names_remove(&table, &thing->named);
    } else {
        snprintf(thing->name, sizeof(thing->name), "n%d", rand() % NAMES);
        names_add(&table, &thing->named, thing->name);
    }
    thing->present = !thing->present;
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);
    unsigned wrong = 0;
    char name[16];

    printf("# seed %u\n", seed);
    srand(seed);
    names_init(&table);
    check_true("an empty table finds nothing", !names_find(&table, "", NULL));
    for (unsigned i = 0; i < STEPS; i++) {
        change(&things[rand() % THINGS]);
        snprintf(name, sizeof(name), "n%d", rand() % NAMES);
        wrong += found(name) != expected(name);
    }
    check_uint("finds what is in it and nothing else", wrong, 0);
    for (size_t i = 0; i < THINGS; i++)
        if (things[i].present)
            change(&things[i]);
    check_uint("counts what is in it", table.count, 0);
    names_remove(&table, &things[0].named);
    check_uint("  and what is not stays out of it", table.count, 0);
    names_fini(&table);
    return check_result();
}
