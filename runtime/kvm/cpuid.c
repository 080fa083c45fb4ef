/*
 * cpuid.c: makes the guest's CPUID: the host's as KVM offers it, with features added and removed by
 * name, and with topology leaves that fit the machine.
 *
 * Leaves and bits: Intel SDM vol. 2A "CPUID", AMD APM vol. 3 appendix E.
 */
#include "cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm.h"

enum { EAX, EBX, ECX, EDX };

struct cpu_feature {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
};

static const struct cpu_feature features[] = {
    {"fpu", 1, 0, EDX, 0},
    {"vme", 1, 0, EDX, 1},
    {"de", 1, 0, EDX, 2},
    {"pse", 1, 0, EDX, 3},
    {"tsc", 1, 0, EDX, 4},
    {"msr", 1, 0, EDX, 5},
    {"pae", 1, 0, EDX, 6},
    {"mce", 1, 0, EDX, 7},
    {"cx8", 1, 0, EDX, 8},
    {"apic", 1, 0, EDX, 9},
    {"sep", 1, 0, EDX, 11},
    {"mtrr", 1, 0, EDX, 12},
    {"pge", 1, 0, EDX, 13},
    {"mca", 1, 0, EDX, 14},
    {"cmov", 1, 0, EDX, 15},
    {"pat", 1, 0, EDX, 16},
    {"pse36", 1, 0, EDX, 17},
    {"clflush", 1, 0, EDX, 19},
    {"mmx", 1, 0, EDX, 23},
    {"fxsr", 1, 0, EDX, 24},
    {"sse", 1, 0, EDX, 25},
    {"sse2", 1, 0, EDX, 26},
    {"ss", 1, 0, EDX, 27},
    {"sse3", 1, 0, ECX, 0},
    {"pni", 1, 0, ECX, 0},
    {"pclmulqdq", 1, 0, ECX, 1},
    {"monitor", 1, 0, ECX, 3},
    {"vmx", 1, 0, ECX, 5},
    {"ssse3", 1, 0, ECX, 9},
    {"fma", 1, 0, ECX, 12},
    {"cx16", 1, 0, ECX, 13},
    {"pdcm", 1, 0, ECX, 15},
    {"pcid", 1, 0, ECX, 17},
    {"sse4.1", 1, 0, ECX, 19},
    {"sse4.2", 1, 0, ECX, 20},
    {"x2apic", 1, 0, ECX, 21},
    {"movbe", 1, 0, ECX, 22},
    {"popcnt", 1, 0, ECX, 23},
    {"tsc-deadline", 1, 0, ECX, 24},
    {"aes", 1, 0, ECX, 25},
    {"xsave", 1, 0, ECX, 26},
    {"avx", 1, 0, ECX, 28},
    {"f16c", 1, 0, ECX, 29},
    {"rdrand", 1, 0, ECX, 30},
    {"hypervisor", 1, 0, ECX, 31},
    {"arat", 6, 0, EAX, 2},
    {"fsgsbase", 7, 0, EBX, 0},
    {"tsc-adjust", 7, 0, EBX, 1},
    {"bmi1", 7, 0, EBX, 3},
    {"hle", 7, 0, EBX, 4},
    {"avx2", 7, 0, EBX, 5},
    {"smep", 7, 0, EBX, 7},
    {"bmi2", 7, 0, EBX, 8},
    {"erms", 7, 0, EBX, 9},
    {"invpcid", 7, 0, EBX, 10},
    {"rtm", 7, 0, EBX, 11},
    {"mpx", 7, 0, EBX, 14},
    {"avx512f", 7, 0, EBX, 16},
    {"avx512dq", 7, 0, EBX, 17},
    {"rdseed", 7, 0, EBX, 18},
    {"adx", 7, 0, EBX, 19},
    {"smap", 7, 0, EBX, 20},
    {"avx512ifma", 7, 0, EBX, 21},
    {"clflushopt", 7, 0, EBX, 23},
    {"clwb", 7, 0, EBX, 24},
    {"avx512cd", 7, 0, EBX, 28},
    {"sha-ni", 7, 0, EBX, 29},
    {"avx512bw", 7, 0, EBX, 30},
    {"avx512vl", 7, 0, EBX, 31},
    {"avx512vbmi", 7, 0, ECX, 1},
    {"umip", 7, 0, ECX, 2},
    {"pku", 7, 0, ECX, 3},
    {"gfni", 7, 0, ECX, 8},
    {"vaes", 7, 0, ECX, 9},
    {"vpclmulqdq", 7, 0, ECX, 10},
    {"la57", 7, 0, ECX, 16},
    {"rdpid", 7, 0, ECX, 22},
    {"fsrm", 7, 0, EDX, 4},
    {"md-clear", 7, 0, EDX, 10},
    {"spec-ctrl", 7, 0, EDX, 26},
    {"stibp", 7, 0, EDX, 27},
    {"arch-capabilities", 7, 0, EDX, 29},
    {"ssbd", 7, 0, EDX, 31},
    {"xsaveopt", 0xd, 1, EAX, 0},
    {"xsavec", 0xd, 1, EAX, 1},
    {"xgetbv1", 0xd, 1, EAX, 2},
    {"xsaves", 0xd, 1, EAX, 3},
    {"lahf-lm", 0x80000001, 0, ECX, 0},
    {"svm", 0x80000001, 0, ECX, 2},
    {"abm", 0x80000001, 0, ECX, 5},
    {"sse4a", 0x80000001, 0, ECX, 6},
    {"misalignsse", 0x80000001, 0, ECX, 7},
    {"3dnowprefetch", 0x80000001, 0, ECX, 8},
    {"topoext", 0x80000001, 0, ECX, 22},
    {"syscall", 0x80000001, 0, EDX, 11},
    {"nx", 0x80000001, 0, EDX, 20},
    {"mmxext", 0x80000001, 0, EDX, 22},
    {"fxsr-opt", 0x80000001, 0, EDX, 25},
    {"pdpe1gb", 0x80000001, 0, EDX, 26},
    {"rdtscp", 0x80000001, 0, EDX, 27},
    {"lm", 0x80000001, 0, EDX, 29},
    {"invtsc", 0x80000007, 0, EDX, 8},
    {"ibpb", 0x80000008, 0, EBX, 12},
    {"kvmclock", 0x40000001, 0, EAX, 3},
    {"kvm-nopiodelay", 0x40000001, 0, EAX, 1},
    {"kvm-asyncpf", 0x40000001, 0, EAX, 4},
    {"kvm-steal-time", 0x40000001, 0, EAX, 5},
    {"kvm-pv-eoi", 0x40000001, 0, EAX, 6},
    {"kvm-pv-unhalt", 0x40000001, 0, EAX, 7},
    {"kvmclock-stable-bit", 0x40000001, 0, EAX, 24},
    {"kvm-pv-tlb-flush", 0x40000001, 0, EAX, 9},
    {"kvm-pv-ipi", 0x40000001, 0, EAX, 11},
    {"kvm-pv-sched-yield", 0x40000001, 0, EAX, 13},
};

enum { MAX_ENTRIES = 256 };

/* Paravirtual features that make a guest use hypercalls: send IPIs, wake up a halted vCPU, yield
 * to one. They hardly ever pay, and where KVM emulates the guest's ring 0 the instruction may not
 * come back; so they are off unless cpu_features names them. */
enum { KVM_LEAF = 0x40000001, KVM_HYPERCALL_FEATURES = 1 << 7 | 1 << 11 | 1 << 13 };

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];

        if (e->function == leaf &&
            (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
            return e;
    }
    return NULL;
}

static struct kvm_cpuid_entry2 *find_or_add(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t subleaf,
                                            bool indexed)
{
    struct kvm_cpuid_entry2 *e = find(c, leaf, subleaf);

    if (e || c->nent == MAX_ENTRIES)
        return e;
    e = &c->entries[c->nent++];
    *e = (struct kvm_cpuid_entry2){.function = leaf, .index = subleaf};
    if (indexed)
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    return e;
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, unsigned reg)
{
    uint32_t *const regs[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

    return regs[reg];
}

/* ---- features by name ----------------------------------------------------------------------- */

enum { FEATURE_COUNT = sizeof(features) / sizeof(features[0]) };

static int fail_unknown_flag(const char *name, lunik_error *err)
{
    const char *names[FEATURE_COUNT + 1] = {NULL};
    const char *meant;

    for (size_t i = 0; i < FEATURE_COUNT; i++)
        names[i] = features[i].name;
    meant = lunik_suggest(name, names);
    if (meant)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu: '%s' is not a known feature (did you mean '%s'?)", name, meant);
    return lunik_fail(err, LUNIK_E_INVALID,
                      "cpu: '%s' is not a known feature (want e.g. -xsave, +hypervisor, family=6)",
                      name);
}

static int apply_flag(struct kvm_cpuid2 *c, const char *name, bool on, lunik_error *err)
{
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        const struct cpu_feature *f = &features[i];
        struct kvm_cpuid_entry2 *e;

        if (strcmp(f->name, name) != 0)
            continue;
        e = on ? find_or_add(c, f->leaf, f->subleaf, f->subleaf != 0 || f->leaf == 7)
               : find(c, f->leaf, f->subleaf);
        if (e && on)
            *reg_of(e, f->reg) |= 1u << f->bit;
        else if (e)
            *reg_of(e, f->reg) &= ~(1u << f->bit);
        return 0;
    }
    return fail_unknown_flag(name, err);
}

/* Display family and model as leaf 1 EAX spreads them: SDM vol. 2A, figure 3-6. */
static void set_family(uint32_t *eax, unsigned family)
{
    unsigned base = family > 15 ? 15 : family;

    *eax = (*eax & ~0x0ff00f00u) | base << 8 | (family - base) << 20;
}

static void set_model(uint32_t *eax, unsigned model)
{
    *eax = (*eax & ~0x000f00f0u) | (model & 15) << 4 | (model >> 4) << 16;
}

static int set_vendor(struct kvm_cpuid2 *c, const char *vendor, lunik_error *err)
{
    struct kvm_cpuid_entry2 *e = find(c, 0, 0);

    if (strlen(vendor) != 12)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu: vendor: '%s' is not 12 characters long",
                          vendor);
    if (!e)
        return 0;
    memcpy(&e->ebx, vendor, 4);
    memcpy(&e->edx, vendor + 4, 4);
    memcpy(&e->ecx, vendor + 8, 4);
    return 0;
}

static int set_model_id(struct kvm_cpuid2 *c, const char *id, lunik_error *err)
{
    char text[48] = {0};

    if (strlen(id) >= sizeof(text))
        return lunik_fail(err, LUNIK_E_INVALID, "cpu: model-id: '%s' is longer than 47 characters",
                          id);
    memcpy(text, id, strlen(id));
    for (unsigned i = 0; i < 3; i++) {
        struct kvm_cpuid_entry2 *e = find_or_add(c, 0x80000002u + i, 0, false);

        if (e) {
            memcpy(&e->eax, text + 16 * i, 4);
            memcpy(&e->ebx, text + 16 * i + 4, 4);
            memcpy(&e->ecx, text + 16 * i + 8, 4);
            memcpy(&e->edx, text + 16 * i + 12, 4);
        }
    }
    return 0;
}

static int apply_number(struct kvm_cpuid2 *c, const char *key, const char *value, lunik_error *err)
{
    struct kvm_cpuid_entry2 *e = find(c, 1, 0);
    unsigned long max = strcmp(key, "family") == 0 ? 270 : strcmp(key, "model") == 0 ? 255 : 15;
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(value, &end, 0);
    if (!*value || *value == '-' || *end || errno || number > max)
        return lunik_fail(err, LUNIK_E_INVALID, "cpu: %s: '%s' is not a number from 0 to %lu", key,
                          value, max);
    if (!e)
        return 0;
    if (max == 270)
        set_family(&e->eax, (unsigned)number);
    else if (max == 255)
        set_model(&e->eax, (unsigned)number);
    else
        e->eax = (e->eax & ~15u) | (uint32_t)number;
    return 0;
}

static int apply_setting(struct kvm_cpuid2 *c, const char *text, lunik_error *err)
{
    const char *equals = strchr(text, '=');
    char key[32];
    size_t length;

    if (text[0] == '+' || text[0] == '-')
        return apply_flag(c, text + 1, text[0] == '+', err);
    length = equals ? (size_t)(equals - text) : 0;
    if (!length || length >= sizeof(key))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "cpu: '%s' is not a setting (want e.g. -xsave, +hypervisor, family=6)",
                          text);
    memcpy(key, text, length);
    key[length] = 0;
    if (strcmp(key, "vendor") == 0)
        return set_vendor(c, equals + 1, err);
    if (strcmp(key, "model-id") == 0)
        return set_model_id(c, equals + 1, err);
    if (strcmp(key, "family") == 0 || strcmp(key, "model") == 0 || strcmp(key, "stepping") == 0)
        return apply_number(c, key, equals + 1, err);
    return lunik_fail(err, LUNIK_E_INVALID,
                      "cpu: '%s' is not a setting (want family, model, stepping, vendor or "
                      "model-id)",
                      key);
}

static int apply_settings(struct kvm_cpuid2 *c, const lunik_machine_config *config,
                          lunik_error *err)
{
    int rc = 0;

    for (size_t i = 0; config->cpu_features && config->cpu_features[i] && !rc; i++)
        rc = apply_setting(c, config->cpu_features[i], err);
    return rc;
}

/* Makes a table without entries that has room for MAX_ENTRIES. */
static struct kvm_cpuid2 *new_table(lunik_error *err)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_ENTRIES * sizeof(c->entries[0]));

    if (!c)
        lunik_fail(err, LUNIK_E_NO_MEMORY, "cpu: out of memory");
    return c;
}

int cpuid_check(const lunik_machine_config *config, lunik_error *err)
{
    struct kvm_cpuid2 *c = new_table(err);
    int rc;

    if (!c)
        return LUNIK_E_NO_MEMORY;
    rc = apply_settings(c, config, err);
    free(c);
    return rc;
}

int cpuid_new(struct kvm_cpuid2 **out, lunik_machine *m, lunik_error *err)
{
    struct kvm_cpuid2 *c = new_table(err);
    struct kvm_cpuid_entry2 *e;
    int rc;

    if (!c)
        return LUNIK_E_NO_MEMORY;
    c->nent = MAX_ENTRIES;
    if (ioctl(m->kvm->dev_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
        rc = lunik_fail_errno(err, errno, "KVM: can't read the CPUID it supports");
        goto fail;
    }
    e = find(c, 1, 0);
    if (e)
        e->ecx |= 1u << 31; /* hypervisor */
    e = find(c, KVM_LEAF, 0);
    if (e)
        e->eax &= ~(uint32_t)KVM_HYPERCALL_FEATURES;
    rc = apply_settings(c, &m->config, err);
    if (rc)
        goto fail;
    *out = c;
    return 0;
fail:
    free(c);
    return rc;
}

/* ---- topology ------------------------------------------------------------------------------- */

/* Returns how many bits n different ids need. */
static unsigned id_bits(unsigned n)
{
    return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

/* Returns how many bits of an APIC id a package has. */
static unsigned package_bits(const lunik_machine_config *config)
{
    return id_bits(config->threads) + id_bits(config->cores) + id_bits(config->dies);
}

/* A level of the leaves 0xb and 0x1f: its type (0: there are no more), the bits of an APIC id below
 * the next level, and the logical processors in one of that. SDM vol. 2A, CPUID. */
struct level {
    unsigned type, bits, count;
};

enum { LEVEL_NONE = 0, LEVEL_THREAD = 1, LEVEL_CORE = 2, LEVEL_DIE = 5 };

static void set_levels(struct kvm_cpuid2 *c, uint32_t leaf, const struct level *levels,
                       unsigned count, unsigned index)
{
    for (unsigned i = 0; i < count; i++) {
        struct kvm_cpuid_entry2 *e = find_or_add(c, leaf, i, true);

        if (!e)
            return;
        e->eax = levels[i].bits;
        e->ebx = levels[i].count;
        e->ecx = i | levels[i].type << 8;
        e->edx = index;
    }
}

/* Leaf 0xb knows no dies: their cores are cores of the package. */
static void set_extended_topology(struct kvm_cpuid2 *c, uint32_t leaf,
                                  const lunik_machine_config *config, unsigned index)
{
    unsigned threads = config->threads, package = threads * config->cores * config->dies;
    const struct level thread = {LEVEL_THREAD, id_bits(threads), threads};

    if (leaf == 0xb || config->dies == 1)
        set_levels(c, leaf,
                   (const struct level[]){
                       thread, {LEVEL_CORE, package_bits(config), package}, {LEVEL_NONE, 0, 0}},
                   3, index);
    else
        set_levels(c, leaf,
                   (const struct level[]){thread,
                                          {LEVEL_CORE, id_bits(threads) + id_bits(config->cores),
                                           threads * config->cores},
                                          {LEVEL_DIE, package_bits(config), package},
                                          {LEVEL_NONE, 0, 0}},
                   4, index);
}

/* Leaf 4: cores of the package, threads that share each cache: those of a core, or of a die. */
static void set_cache_sharing(struct kvm_cpuid2 *c, const lunik_machine_config *config)
{
    unsigned die = 1u << (id_bits(config->threads) + id_bits(config->cores));

    for (uint32_t i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];
        unsigned level = e->eax >> 5 & 7;

        if (e->function != 4 || !(e->eax & 31))
            continue;
        e->eax &= 0x3fff;
        e->eax |= ((level >= 3 ? die : 1u << id_bits(config->threads)) - 1) << 14;
        e->eax |= ((1u << (package_bits(config) - id_bits(config->threads))) - 1) << 26;
    }
}

void cpuid_set_topology(struct kvm_cpuid2 *c, const lunik_machine_config *config, unsigned index)
{
    unsigned package = config->dies * config->cores * config->threads;
    struct kvm_cpuid_entry2 *e = find(c, 1, 0);

    if (e) {
        e->ebx = (e->ebx & 0xff00ffff) | (package & 0xff) << 16;
        e->ebx = (e->ebx & 0x00ffffff) | index << 24;
        if (package > 1)
            e->edx |= 1u << 28; /* HTT: the count above is valid */
        else
            e->edx &= ~(1u << 28);
    }
    set_cache_sharing(c, config);
    e = find(c, 0, 0);
    if (e && e->eax >= 0xb)
        set_extended_topology(c, 0xb, config, index);
    if (e && e->eax >= 0x1f)
        set_extended_topology(c, 0x1f, config, index);
    e = find(c, 0x80000008, 0);
    if (e)
        e->ecx = (e->ecx & ~0xf0ffu) | (package - 1) | package_bits(config) << 12;
    e = find(c, 0x8000001e, 0);
    if (e) {
        e->eax = index;
        e->ebx =
            (e->ebx & ~0xffffu) | (index / config->threads & 0xff) | (config->threads - 1) << 8;
        e->ecx &= ~0x7ffu;
    }
}
