/* test_arguments.c: arguments that public functions refuse, other than NULL for the first of them
 * (test_misuse.c): numbers out of range, strings that are missing inside a value, functions that
 * have outlived what they are asked of. */
#include <pthread.h>

#include "lunik_pci.h"
#include "check.h"
#include "misuse.h"

static lunik_object *backend(const char *id)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("id", id), LUNIK_FIELD_UINT("size", 65536)};
    lunik_object *o = NULL;

    if (lunik_object_add(m, "memory-backend-ram", props, 2, &o, &err))
        printf("# %s\n", err.message);
    return o;
}

static void test_names(void)
{
    check_string("no state", lunik_state_name((lunik_run_state)77), "unknown");
    check_string("no plug state", lunik_plug_state_name((lunik_plug_state)77), "unknown");
    check_string("no error", lunik_error_name(77), "unknown");
    check_string("no reason of a rejection", lunik_reject_name((lunik_reject)77), "unknown");
    check_string("  in words", lunik_reject_meaning((lunik_reject)77), "unknown");
}

static void test_values(void)
{
    static const lunik_value bad[] = {
        {.kind = LUNIK_STRING},
        {.kind = LUNIK_LIST, .list = {.count = 1}},
        {.kind = (lunik_value_kind)77},
    };
    lunik_object *o = backend("mem");

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_int("a value without content", lunik_object_set(o, "merge", &bad[i], &err),
                  LUNIK_E_INVALID);
        check_contains("  names the property", err.message, "merge");
    }
    said[0] = 0;
    lunik_object_unuse(o, NULL);
    check_contains("a user", said, "user is NULL");
    said[0] = 0;
    lunik_object_release(o, NULL);
    check_contains("  that claims it", said, "user is NULL");
}

static void test_nodes(void)
{
    static const lunik_numa_node node = {.cpu_count = 1};
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1, .node_count = 1};
    lunik_machine *made = NULL;

    check_int("nodes", lunik_machine_new(rt, &config, &made, &err), LUNIK_E_INVALID);
    check_contains("  that are missing", err.message, "nodes is NULL");
    config.nodes = &node;
    check_int("vCPUs of a node", lunik_machine_new(rt, &config, &made, &err), LUNIK_E_INVALID);
    check_contains("  that are missing", err.message, "numa node 0: cpus is NULL");
    check_true("nothing is made", !made);
}

static void test_regions(void)
{
    const lunik_region_config config = {.kind = (lunik_region_kind)77, .size = 1};
    lunik_region *r;

    check_int("a kind of regions", lunik_region_new(m, &config, &r, &err), LUNIK_E_INVALID);
    check_contains("  which names it", err.message, "77");
}

static int add_bar(lunik_pci_function *f, unsigned index, lunik_pci_bar_kind kind)
{
    const lunik_region_config config = {.kind = LUNIK_REGION_RESERVED, .size = 4096};
    lunik_region *region;
    int rc = lunik_region_new(m, &config, &region, &err);

    if (!rc)
        rc = lunik_pci_bar_init(f, index, kind, region, &err);
    if (rc)
        lunik_region_unref(region);
    return rc;
}

static void test_bars(void)
{
    lunik_pci_function f;

    lunik_pci_function_init(&f, NULL, 0x1234, 0x5678, 0, 0);
    check_int("a kind of BARs", add_bar(&f, 0, (lunik_pci_bar_kind)77), LUNIK_E_INVALID);
    check_int("a BAR that does not exist", add_bar(&f, 6, LUNIK_PCI_BAR_MEM32), LUNIK_E_INVALID);
    check_int("  nor does half of it", add_bar(&f, 5, LUNIK_PCI_BAR_MEM64), LUNIK_E_INVALID);
    check_int("  nor such a number", add_bar(&f, UINT32_MAX, LUNIK_PCI_BAR_MEM64), LUNIK_E_INVALID);
    check_int("one of 32 bits", add_bar(&f, 1, LUNIK_PCI_BAR_MEM32), 0);
    check_int("  leaves no room for one of 64 bits", add_bar(&f, 0, LUNIK_PCI_BAR_MEM64),
              LUNIK_E_INVALID);
    check_int("which has some elsewhere", add_bar(&f, 2, LUNIK_PCI_BAR_MEM64), 0);
    check_int("  and has both halves", add_bar(&f, 3, LUNIK_PCI_BAR_MEM32), LUNIK_E_INVALID);
    check_int("the next is free", add_bar(&f, 4, LUNIK_PCI_BAR_MEM32), 0);
    said[0] = 0;
    check_uint("an access of 8 bytes", lunik_pci_config_read(&f, 0, 8), UINT32_MAX);
    check_contains("  is none", said, "size is more than 4");
    said[0] = 0;
    lunik_pci_config_write(&f, 0, 8, 0);
    check_contains("  nor is a write", said, "size is more than 4");
    for (unsigned i = 0; i < LUNIK_PCI_BARS; i++)
        if (f.bars[i].region)
            lunik_region_unref(f.bars[i].region);
}

static void *unplug(void *unused)
{
    check_int("without the lock no device leaves", lunik_device_del(m, "d", &err), LUNIK_E_INVALID);
    check_contains("  why", err.message, "does not hold the machine lock");
    return NULL;
}

static void test_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, unplug, NULL);
    pthread_join(thread, NULL);
}

/* A machine, an object and a block that are referenced when the runtime is freed. */
static void test_late(void)
{
    lunik_object *o = backend("late");
    lunik_ram *ram = lunik_memory_backend_iface(o)->ram(o);

    lunik_machine_ref(m);
    lunik_object_ref(o);
    lunik_ram_ref(ram);
    check_int("the runtime goes", lunik_runtime_free(rt), 0);
    check_string("its machine has a name", lunik_machine_name(m), "m");
    check_int("  and is closed", lunik_machine_state(m), LUNIK_STATE_CLOSED);
    lunik_clock_now(m);
    said[0] = 0;
    lunik_machine_close(m);
    check_string("  as often as one likes", said, "");
    check_int("nothing leaves it any more", lunik_device_del(m, "d", &err), LUNIK_E_GONE);
    check_int("  nor starts it", lunik_machine_start(m, &err), LUNIK_E_STATE);
    check_int("  nor is added", lunik_object_add(m, "x", NULL, 0, NULL, &err), LUNIK_E_GONE);
    lunik_machine_shutdown(m, NULL, 0);
    check_int("  nor ends it", lunik_machine_pause(m, &err), LUNIK_E_STATE);
    check_int("  nor resets it", lunik_machine_reset(m, &err), LUNIK_E_STATE);
    check_true("its object is dead", !lunik_object_alive(o));
    check_string("  and has a name", lunik_object_id(o), "late");
    check_uint("the block is there", lunik_ram_size(ram), 65536);
    lunik_ram_unref(ram);
    lunik_object_unref(o);
    lunik_machine_unref(m);
}

int main(void)
{
    lunik_set_misuse_cb(on_misuse);
    make("m");
    test_names();
    test_values();
    test_nodes();
    test_regions();
    test_bars();
    test_thread();
    test_late();
    return check_result();
}
