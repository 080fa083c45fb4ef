/* test_teardown.c: what machines and runtimes leave behind: no libuv handle, no file descriptor, no
 * thread, in whatever state they are closed. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "lunik_device.h"
#include "terminals.h"

#define MIB (UINT64_C(1) << 20)

static lunik_error err;
static lunik_accel accel;
static bool terminals;

/* ---- what there is -------------------------------------------------------------------------- */

static unsigned entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void count_handle(uv_handle_t *handle, void *arg)
{
    ++*(unsigned *)arg;
}

static unsigned handles(lunik_runtime *rt)
{
    unsigned count = 0;

    lunik_run(rt, LUNIK_RUN_NOWAIT); /* close callbacks */
    uv_walk(lunik_loop(rt), count_handle, &count);
    return count;
}

struct holding {
    unsigned fds, threads;
};

static struct holding holding(void)
{
    return (struct holding){entries("/proc/self/fd"), entries("/proc/self/task")};
}

/* Memory and its files go a grace period after their last use; rt (may be NULL) is quiescent when
 * it runs. */
static void check_holding(const char *name, lunik_runtime *rt, struct holding before)
{
    for (unsigned i = 0; i < 200; i++) {
        struct holding now = holding();

        if (now.fds <= before.fds && now.threads <= before.threads)
            break;
        usleep(10000);
        if (rt)
            lunik_run(rt, LUNIK_RUN_NOWAIT);
    }
    check_true(name, holding().fds <= before.fds && holding().threads <= before.threads);
}

/* ---- a machine ------------------------------------------------------------------------------ */

static lunik_machine *machine(lunik_runtime *rt)
{
    const lunik_machine_config config = {.name = "teardown", .accel = accel, .cpus = 2};
    lunik_machine *m = NULL;

    if (lunik_machine_new(rt, &config, &m, &err))
        printf("# %s\n", err.message);
    return m;
}

static bool add(lunik_machine *m, bool device, const char *type, const lunik_field *props,
                size_t count)
{
    int rc = device ? lunik_device_add(m, type, props, count, NULL, &err)
                    : lunik_object_add(m, type, props, count, NULL, &err);

    if (rc)
        printf("# %s\n", err.message);
    return rc == 0;
}
#define ADD(m, device, type, ...)                                                                  \
    add((m), (device), (type), (const lunik_field[]){__VA_ARGS__},                                 \
        sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field))

#define TEXT LUNIK_FIELD_STRING
#define NUM  LUNIK_FIELD_UINT

/* Everything that has timers, files or, where there are any, terminals. */
static bool furnish(lunik_machine *m)
{
    return ADD(m, false, terminals ? "chardev-pty" : "chardev-null", TEXT("id", "console")) &&
           ADD(m, false, "chardev-file", TEXT("id", "file"), TEXT("path", "/dev/null")) &&
           ADD(m, false, "memory-backend-memfd", TEXT("id", "mem"), NUM("size", 16 * MIB),
               LUNIK_FIELD_BOOL("share", true), LUNIK_FIELD_BOOL("prealloc", true)) &&
           ADD(m, false, "memory-backend-ram", TEXT("id", "low"), NUM("size", 16 * MIB)) &&
           ADD(m, true, "i440fx", TEXT("id", "host"), TEXT("ram", "low")) &&
           ADD(m, true, "piix4-pm", TEXT("id", "pm"), TEXT("bus", "host"), TEXT("addr", "1.3"),
               NUM("sci", 9), NUM("pm-base", 0x600)) &&
           ADD(m, true, "serial16550", TEXT("id", "uart"), TEXT("chardev", "console")) &&
           ADD(m, true, "debugcon", TEXT("id", "debugcon"), TEXT("chardev", "file")) &&
           ADD(m, true, "mc146818", TEXT("id", "rtc")) &&
           ADD(m, true, "device-memory", TEXT("id", "window"), NUM("addr", 4096 * MIB),
               NUM("size", 1024 * MIB), NUM("slots", 2)) &&
           ADD(m, true, "pc-dimm", TEXT("id", "dimm"), TEXT("memdev", "mem"));
}

static void to_created(lunik_machine *m)
{
}

static void to_running(lunik_machine *m)
{
    lunik_machine_start(m, &err);
    lunik_run(lunik_machine_runtime(m), LUNIK_RUN_NOWAIT);
}

static void to_paused(lunik_machine *m)
{
    lunik_machine_start(m, &err);
    lunik_machine_pause(m, &err);
}

static void to_shutdown(lunik_machine *m)
{
    lunik_machine_start(m, &err);
    lunik_machine_shutdown(m, "host-quit", 1);
}

/* vCPUs without memory end in a crash, or run into the void. */
static void to_whatever(lunik_machine *m)
{
    lunik_machine_start(m, &err);
    lunik_device_del(m, "dimm", &err);
    lunik_object_del(m, "mem", &err);
    for (int i = 0; i < 5; i++)
        lunik_run_timeout(lunik_machine_runtime(m), 1);
    lunik_machine_reset(m, &err);
}

static const struct {
    const char *name;
    void (*fn)(lunik_machine *m);
} states[] = {
    {"created", to_created},   {"running", to_running},   {"paused", to_paused},
    {"shutdown", to_shutdown}, {"whatever", to_whatever},
};
enum { STATES = sizeof(states) / sizeof(states[0]) };

/* ---- tests ---------------------------------------------------------------------------------- */

/* Machines come and go in one runtime. */
static void test_machines(void)
{
    lunik_runtime *rt = NULL;
    lunik_machine *m;
    unsigned before;

    lunik_runtime_new(lunik_builtin_types(), &rt, &err);
    m = machine(rt); /* what a runtime keeps from then on: the watch on terminals */
    furnish(m);
    lunik_machine_close(m);
    before = handles(rt);
    for (unsigned i = 0; i < STATES; i++) {
        struct holding held = holding();

        m = machine(rt);
        if (!check_true("a machine", m && furnish(m)))
            continue;
        states[i].fn(m);
        check_true("has handles of its own", handles(rt) > before);
        lunik_machine_close(m);
        check_uint(states[i].name, handles(rt), before);
        check_holding(states[i].name, rt, held);
    }
    lunik_runtime_free(rt);
}

/* A runtime takes its machines along, whatever they do. */
static void test_runtimes(void)
{
    struct holding held = holding();

    for (unsigned round = 0; round < 3; round++) {
        lunik_runtime *rt = NULL;

        lunik_runtime_new(lunik_builtin_types(), &rt, &err);
        for (unsigned i = 0; i < STATES; i++) {
            lunik_machine *m = machine(rt);

            if (check_true("one of many", m && furnish(m)))
                states[i].fn(m);
        }
        lunik_runtime_free(rt);
    }
    check_holding("runtimes", NULL, held);
}

/* A handle outlives its machine, and the machine its runtime's loop. */
static void test_reference(void)
{
    lunik_runtime *rt = NULL;
    lunik_machine *m;

    lunik_runtime_new(lunik_builtin_types(), &rt, &err);
    m = machine(rt);
    lunik_machine_ref(m);
    lunik_machine_start(m, &err);
    lunik_runtime_free(rt);
    check_int("a closed machine", lunik_machine_state(m), LUNIK_STATE_CLOSED);
    check_string("still has its name", lunik_machine_name(m), "teardown");
    lunik_machine_unref(m);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    terminals = check_terminals("terminals of machines");
    for (accel = LUNIK_ACCEL_NONE;; accel = LUNIK_ACCEL_KVM) {
        test_reference(); /* what is set up once per process is not a leak */
        test_machines();
        test_runtimes();
        if (accel == LUNIK_ACCEL_KVM || access("/dev/kvm", R_OK | W_OK) != 0)
            break;
    }
    return check_result();
}
