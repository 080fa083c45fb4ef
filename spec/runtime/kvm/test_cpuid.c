/* test_cpuid.c: the CPUID of machines: features by name, identity, topology. */
#include <linux/kvm.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvm/cpuid.h"
#include "check.h"

static lunik_runtime *rt;

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *c, uint32_t function,
                                           uint32_t index)
{
    static const struct kvm_cpuid_entry2 absent;

    for (uint32_t i = 0; i < c->nent; i++)
        if (c->entries[i].function == function && c->entries[i].index == index)
            return &c->entries[i];
    return &absent;
}

/* The CPUID of a machine with these settings, or NULL and the reason. */
static struct kvm_cpuid2 *cpuid_of(lunik_machine_config config, lunik_error *err)
{
    struct kvm_cpuid2 *c = NULL;
    lunik_machine *m;

    if (lunik_machine_new(rt, &config, &m, err))
        return NULL;
    if (cpuid_new(&c, m, err) == 0)
        cpuid_set_topology(c, lunik_machine_config_get(m), config.cpus - 1);
    lunik_machine_close(m);
    return c;
}

static void test_features(void)
{
    static const char *const changed[] = {
        "-popcnt",    "+monitor",    "family=23",           "model=49",
        "stepping=2", "+kvm-pv-ipi", "vendor=LunikLunik!!", "model-id=A processor",
        NULL};
    lunik_machine_config config = {.cpus = 1};
    lunik_error err = {0};
    struct kvm_cpuid2 *plain = cpuid_of(config, &err), *c;
    char id[49] = {0};

    config.cpu_features = changed;
    c = cpuid_of(config, &err);
    if (!check_true("a machine", plain && c))
        return;
    check_true("says it is a guest", leaf(plain, 1, 0)->ecx >> 31 & 1);
    check_uint("no hypercalls unless asked for", leaf(plain, 0x40000001, 0)->eax & 0x2880, 0);
    check_uint("asked for", leaf(c, 0x40000001, 0)->eax & 0x2880, 0x800);
    check_uint("taken away", leaf(c, 1, 0)->ecx >> 23 & 1, 0);
    check_uint("added", leaf(c, 1, 0)->ecx >> 3 & 1, 1);
    check_uint("family 23, model 49, stepping 2", leaf(c, 1, 0)->eax & 0x0fff0fff, 0x00830f12);
    check_true("vendor", memcmp(&leaf(c, 0, 0)->ebx, "Luni", 4) == 0 &&
                             memcmp(&leaf(c, 0, 0)->edx, "kLun", 4) == 0 &&
                             memcmp(&leaf(c, 0, 0)->ecx, "ik!!", 4) == 0);
    for (uint32_t i = 0; i < 3; i++)
        memcpy(id + 16 * i, &leaf(c, 0x80000002 + i, 0)->eax, 16);
    check_string("model id", id, "A processor");
    free(plain);
    free(c);
}

static void test_topology(void)
{
    lunik_machine_config config = {.cpus = 8, .sockets = 2, .cores = 2, .threads = 2};
    lunik_error err = {0};
    struct kvm_cpuid2 *c = cpuid_of(config, &err);

    if (!check_true("eight vCPUs", c))
        return;
    check_uint("APIC id", leaf(c, 1, 0)->ebx >> 24, 7);
    check_uint("ids of a package", leaf(c, 1, 0)->ebx >> 16 & 0xff, 4);
    if (leaf(c, 0, 0)->eax >= 0xb) {
        check_uint("threads of a core", leaf(c, 0xb, 0)->ebx, 2);
        check_uint("bits of a core", leaf(c, 0xb, 0)->eax, 1);
        check_uint("threads of a package", leaf(c, 0xb, 1)->ebx, 4);
        check_uint("bits of a package", leaf(c, 0xb, 1)->eax, 2);
        check_uint("x2APIC id", leaf(c, 0xb, 1)->edx, 7);
    }
    free(c);
}

static void refuses(const char *setting, const char *why)
{
    const char *const settings[] = {setting, NULL};
    lunik_error err = {0};

    check_true(setting,
               !cpuid_of((lunik_machine_config){.cpus = 1, .cpu_features = settings}, &err));
    check_contains("  says why", err.message, why);
}

int main(void)
{
    lunik_error err = {0};

    if (access("/dev/kvm", R_OK | W_OK)) {
        check_skip("cpuid", "no /dev/kvm");
        return 0;
    }
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err)) {
        printf("not ok a runtime: %s\n", err.message);
        return 1;
    }
    test_features();
    test_topology();
    refuses("-xsafe", "'xsafe' is not a known feature");
    refuses("xsave", "'xsave' is not a setting");
    refuses("famly=6", "'famly' is not a setting");
    refuses("family=271", "'271' is not a number from 0 to 270");
    refuses("family=", "'' is not a number");
    refuses("stepping=-1", "'-1' is not a number");
    refuses("vendor=short", "'short' is not 12 characters long");
    lunik_runtime_free(rt);
    return check_result();
}
