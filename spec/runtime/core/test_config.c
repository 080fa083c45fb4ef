/* test_config.c: machine configurations that are refused, and what the defaults become. */
#include "lunik_device.h"
#include "check.h"

static lunik_runtime *rt;

static void refuses(const char *name, lunik_machine_config config, const char *why)
{
    lunik_machine *m = NULL;
    lunik_error err = {0};

    config.name = "m";
    config.accel = LUNIK_ACCEL_NONE;
    check_int(name, lunik_machine_new(rt, &config, &m, &err), LUNIK_E_INVALID);
    check_contains("  says why", err.message, why);
    check_true("  makes nothing", m == NULL);
}

static void test_refused(void)
{
    static const unsigned cpu0[] = {0}, cpu7[] = {7};
    static const uint8_t near[] = {10, 9}, far[] = {10, 20}, self[] = {20, 11};
    const lunik_numa_node missing[] = {{cpu7, 1, NULL}};
    const lunik_numa_node twice[] = {{cpu0, 1, NULL}, {cpu0, 1, NULL}};
    const lunik_numa_node too_near[] = {{cpu0, 1, near}, {NULL, 0, NULL}};
    const lunik_numa_node not_self[] = {{cpu0, 1, far}, {NULL, 0, self}};

    refuses("no cpus", (lunik_machine_config){.cpus = 0}, "cpus: 0 is out of range (want 1..255)");
    refuses("256 cpus", (lunik_machine_config){.cpus = 256}, "256 is out of range");
    refuses("product", (lunik_machine_config){.cpus = 4, .sockets = 3},
            "sockets 3 x cores 1 x threads 1 is not cpus 4");
    refuses("uneven packages",
            (lunik_machine_config){.cpus = 6, .sockets = 2, .cores = 3, .threads = 1},
            "cores 3, threads 1: want powers of two");
    refuses("a product beyond 32 bits",
            (lunik_machine_config){.cpus = 1, .sockets = 1u << 16, .threads = 1u << 16},
            "sockets 65536 x cores 0 x threads 65536 is not cpus 1");
    refuses("numa: no such cpu",
            (lunik_machine_config){.cpus = 2, .nodes = missing, .node_count = 1},
            "cpu 7 does not exist (want 0..1)");
    refuses("numa: cpu twice", (lunik_machine_config){.cpus = 2, .nodes = twice, .node_count = 2},
            "cpu 0 is in another node already");
    refuses("numa: distance below 10",
            (lunik_machine_config){.cpus = 2, .nodes = too_near, .node_count = 2}, "distance 9");
    refuses("numa: distance to itself",
            (lunik_machine_config){.cpus = 2, .nodes = not_self, .node_count = 2}, "distance 11");
}

static void test_defaults(void)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 6};
    const lunik_machine_config *got;
    lunik_machine *m;
    lunik_error err = {0};

    if (!check_int("six cpus", lunik_machine_new(rt, &config, &m, &err), 0))
        return;
    got = lunik_machine_config_get(m);
    check_string("name", lunik_machine_name(m), "machine");
    check_uint("sockets", got->sockets, 1);
    check_uint("cores", got->cores, 6);
    check_uint("threads", got->threads, 1);
    check_string("state", lunik_state_name(lunik_machine_state(m)), "created");
    lunik_machine_close(m);
}

static void test_packages(unsigned cpus, size_t nodes, unsigned sockets)
{
    static const lunik_numa_node node[3];
    lunik_machine_config config = {
        .accel = LUNIK_ACCEL_NONE, .cpus = cpus, .nodes = node, .node_count = nodes};
    lunik_machine *m;
    lunik_error err = {0};
    char name[64];

    snprintf(name, sizeof(name), "packages for %u cpus in %zu nodes", cpus, nodes);
    if (!check_int(name, lunik_machine_new(rt, &config, &m, &err), 0))
        return;
    check_uint("  are", lunik_machine_config_get(m)->sockets, sockets);
    lunik_machine_close(m);
}

/* A machine that is closed keeps its struct, and nothing else, for those who still refer to it. */
static void test_life(void)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_machine *m;
    lunik_error err = {0};

    if (!check_int("a machine", lunik_machine_new(rt, &config, &m, &err), 0))
        return;
    lunik_machine_ref(m);
    check_int("start", lunik_machine_start(m, &err), 0);
    check_int("start again", lunik_machine_start(m, &err), LUNIK_E_STATE);
    check_contains("  says why", err.message, "it is running");
    check_int("pause", lunik_machine_pause(m, &err), 0);
    check_int("pause again", lunik_machine_pause(m, &err), 0);
    check_int("resume", lunik_machine_start(m, &err), 0);
    check_int("reset", lunik_machine_reset(m, &err), 0);
    check_string("still runs", lunik_state_name(lunik_machine_state(m)), "running");
    lunik_machine_shutdown(m, "exit-device", 7);
    check_int("exit code", lunik_machine_exit_code(m), 7);
    check_int("no pause after the end", lunik_machine_pause(m, &err), LUNIK_E_STATE);
    check_int("but a new start", lunik_machine_start(m, &err), 0);
    check_int("exit code is new too", lunik_machine_exit_code(m), 0);
    lunik_machine_close(m);
    check_string("closed", lunik_state_name(lunik_machine_state(m)), "closed");
    lunik_machine_close(m);
    check_int("no start after that", lunik_machine_start(m, &err), LUNIK_E_STATE);
    lunik_machine_unref(m);
}

int main(void)
{
    lunik_error err = {0};

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err)) {
        printf("not ok a runtime: %s\n", err.message);
        return 1;
    }
    test_refused();
    test_defaults();
    test_packages(4, 2, 2);
    test_packages(3, 3, 3);
    test_packages(6, 2, 1); /* three cores do not fill their bits of the APIC id */
    test_packages(4, 3, 1);
    test_packages(1, 2, 1);
    test_life();
    lunik_runtime_free(rt);
    return check_result();
}
