/*
 * test_memory_oracle.c: random region graphs and random operations, compared with a model that
 * resolves every page by walking the graph as the documentation says.
 *
 * usage: test_memory_oracle [--wrong-view | --wrong-result] [FIRST-SEED [TREES]]
 *        test_memory_oracle [--wrong-...] --steps SEED 01101...
 *
 * After each operation outside a transaction: what each space shows, what accesses reach, what they
 * come to and which of those rejected are reported, and what the listeners' calls add up to must be
 * what the model says. After a failure the test runs itself with fewer and fewer of the steps, as
 * long as it still fails, and prints those that are left as a Lua script.
 *
 * Each step has random numbers of its own, so that leaving one out changes no other. --wrong-view
 * has the model forget that an alias may be read-only, --wrong-result that a device may refuse:
 * failures to try the above on.
 */
#define _GNU_SOURCE /* environ, open_memstream */
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_oracle.h"

enum { STEPS_MAX = 320, WRONG_MAX = 16 };

static const char *const models[] = {"", "--wrong-view", "--wrong-result"};

static char steps[STEPS_MAX + 1]; /* '1': taken */

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned chance(unsigned n)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t x = random_state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((x ^ (x >> 31)) % n);
}

/* A seed for each step of each tree. */
static void begin_step(uint64_t seed, unsigned step)
{
    random_state = seed * 0xd1342543de82ef95u + step * 0x2545f4914f6cdd1du;
}

static void print_head(uint64_t seed)
{
    printf("-- seed %" PRIu64 " (%s)\n"
           "local lunik = require \"lunik\"\n"
           "local m = lunik.machine { board = { name = \"empty\", build = function() end }, "
           "accel = \"none\", memory = \"1M\" }\n"
           "local n, refuse = {}, false\n"
           "local function try(f)\n"
           "  local ok, err = pcall(f)\n"
           "  if not ok then print(err) end\n"
           "end\n"
           "for i = 0, %d do m:object_add(\"memory-backend-ram\", { id = \"ram\" .. i, size = "
           "\"256K\" }) end\n",
           seed, shape->name, RAMS - 1);
}

static bool step_taken(uint64_t seed, unsigned step)
{
    begin_step(seed, step);
    return !steps[0] || steps[step] == '1';
}

static void run_tree(uint64_t seed)
{
    unsigned step = 0, other = shape->nodes - SPACES;

    begin_step(seed, STEPS_MAX);
    build_tree();
    for (unsigned i = 0; i < shape->nodes * 3 / 4; i++)
        if (step_taken(seed, step++))
            place_node(SPACES + i % other);
    for (unsigned i = 0; i < shape->operations && !failed; i++) {
        if (!step_taken(seed, step++))
            continue;
        operate();
        if (!depth)
            check_everything();
    }
    end_tree();
}

/* ---- fewer steps ---------------------------------------------------------------------------- */

static unsigned step_count(void)
{
    return shape->nodes * 3 / 4 + shape->operations;
}

static const struct shape *shape_of(uint64_t seed)
{
    return &shapes[seed % 90 ? seed % 3 : 3]; /* the large one costs as much as thirty others */
}

/* Does a process of its own still fail with the steps as they are? */
static bool still_fails(uint64_t seed)
{
    char number[32], self[] = "/proc/self/exe", name[] = "oracle", some[] = "--steps",
                     wrong[WRONG_MAX];
    char *with[] = {name, some, number, steps, model ? wrong : NULL, NULL};
    posix_spawn_file_actions_t quiet;
    int status = 0;
    pid_t child;

    snprintf(number, sizeof(number), "%" PRIu64, seed);
    snprintf(wrong, sizeof(wrong), "%s", models[model]);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0);
    if (posix_spawn(&child, self, &quiet, NULL, with, environ))
        child = -1;
    posix_spawn_file_actions_destroy(&quiet);
    return child > 0 && waitpid(child, &status, 0) == child && status;
}

/* Leaves out runs of steps, shorter and shorter ones, until each single one that is left counts. */
static void shrink(uint64_t seed)
{
    unsigned count = step_count();
    bool again;

    memset(steps, '1', count);
    for (unsigned length = count / 2; length; length = length > 1 ? length / 2 : again) {
        again = false;
        for (unsigned at = 0; at < count; at += length) {
            char before[STEPS_MAX + 1];

            memcpy(before, steps, sizeof(steps));
            for (unsigned i = at; i < at + length && i < count; i++)
                steps[i] = '0';
            if (!memcmp(before, steps, sizeof(steps)))
                continue;
            if (still_fails(seed))
                again = true;
            else
                memcpy(steps, before, sizeof(steps));
        }
    }
}

/* Runs the steps; prints them, and the regions that they name, if wanted. */
static int run_steps(uint64_t seed, const char *taken, bool print)
{
    char *text = NULL;
    size_t size;

    shape = shape_of(seed);
    snprintf(steps, sizeof(steps), "%s", taken);
    body = print ? open_memstream(&text, &size) : NULL;
    run_tree(seed);
    if (!body)
        return failed;
    fclose(body);
    for (unsigned i = shape->nodes; i-- > 0;)
        if (mentioned[i] && nodes[i].target >= 0)
            mentioned[nodes[i].target] = true;
    print_head(seed);
    for (unsigned i = 0; i < shape->nodes; i++)
        if (mentioned[i])
            fputs(definitions[i], stdout);
    printf("%sprint(m:mtree { disabled = true })\nprint(m:mtree { flat = true })\n", text);
    free(text);
    return failed;
}

static void report(uint64_t seed, char *self)
{
    char command[STEPS_MAX + 600];

    shrink(seed);
    printf("# seed %" PRIu64 " (%s), as a script:\n", seed, shape->name);
    fflush(stdout);
    snprintf(command, sizeof(command), "'%s' --print %" PRIu64 " %s %s", self, seed, steps,
             models[model]);
    if (system(command) < 0)
        printf("# %s\n", command);
}

static int run_trees(uint64_t seed, unsigned trees, char *self)
{
    for (unsigned i = 0; i < trees; i++, seed++) {
        shape = shape_of(seed);
        run_tree(seed);
        if (failed) {
            report(seed, self);
            return 1;
        }
        clean_up();
    }
    for (unsigned i = 0; i < RAMS; i++)
        lunik_ram_unref(rams[i]);
    lunik_runtime_free(rt);
    printf("ok oracle: %u trees, seeds %" PRIu64 "..%" PRIu64 "\n", trees, seed - trees, seed - 1);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned trees = getenv("LUNIK_QUICK") ? 1000 : 10000;
    char *arguments[3] = {NULL};
    int count = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], models[WRONG_VIEW]))
            model = WRONG_VIEW;
        else if (!strcmp(argv[i], models[WRONG_RESULT]))
            model = WRONG_RESULT;
        else if (count < 3)
            arguments[count++] = argv[i];
    }
    if (!setup()) {
        printf("not ok oracle: no machine\n");
        return 1;
    }
    if (count == 3)
        return run_steps(strtoull(arguments[1], NULL, 0), arguments[2],
                         !strcmp(arguments[0], "--print"));
    if (count > 1)
        trees = (unsigned)strtoul(arguments[1], NULL, 0);
    return run_trees(count ? strtoull(arguments[0], NULL, 0) : 1, trees, argv[0]);
}
