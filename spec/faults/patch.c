/* patch.c: puts functions into the global offset tables of the code under test. */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faults.h"

enum { MODULES_MAX = 8 };

static struct module {
    char name[32];
    uintptr_t base, end;
} modules[MODULES_MAX];
static unsigned module_count;

struct dynamic {
    const ElfW(Sym) * symbols;
    const char *strings;
    const ElfW(Rela) * relocations, *plt;
    size_t relocations_size, plt_size;
};

static void read_dynamic(const ElfW(Dyn) * d, struct dynamic *out)
{
    for (; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_SYMTAB:
            out->symbols = (const void *)d->d_un.d_ptr;
            break;
        case DT_STRTAB:
            out->strings = (const void *)d->d_un.d_ptr;
            break;
        case DT_RELA:
            out->relocations = (const void *)d->d_un.d_ptr;
            break;
        case DT_RELASZ:
            out->relocations_size = d->d_un.d_val;
            break;
        case DT_JMPREL:
            out->plt = (const void *)d->d_un.d_ptr;
            break;
        case DT_PLTRELSZ:
            out->plt_size = d->d_un.d_val;
            break;
        default:
            break;
        }
    }
}

static void *replacement_of(const char *name)
{
    for (const struct faults_call *c = faults_calls; c->name; c++)
        if (!strcmp(c->name, name))
            return c->replacement;
    return NULL;
}

static void store(uintptr_t base, const ElfW(Rela) * r, void *value)
{
    uintptr_t address = base + r->r_offset, page = (uintptr_t)sysconf(_SC_PAGESIZE);

    if (mprotect((void *)(address & -page), page, PROT_READ | PROT_WRITE) == 0)
        *(void **)address = value;
}

static void patch(uintptr_t base, const struct dynamic *d, const ElfW(Rela) * r, size_t size)
{
    for (size_t i = 0; i < size / sizeof(*r); i++) {
        unsigned type = ELF64_R_TYPE(r[i].r_info);
        const ElfW(Sym) *symbol = &d->symbols[ELF64_R_SYM(r[i].r_info)];
        void *value;

        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64)
            continue;
        if (symbol->st_shndx != SHN_UNDEF)
            continue;
        value = replacement_of(d->strings + symbol->st_name);
        if (value)
            store(base, &r[i], value);
    }
}

/* The last component of the file's name, "" if it is not under test. */
static void name_of(const char *path, char *out, size_t size)
{
    char own[4096] = "";
    const char *name;

    *out = 0;
    if (!*path && readlink("/proc/self/exe", own, sizeof(own) - 1) > 0)
        path = own;
    name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (!strncmp(name, "liblunik.so", 11) || !strcmp(name, "core.so") || !strcmp(name, "lunik") ||
        !strcmp(name, "lineedit.so"))
        snprintf(out, size, "%.31s", name);
}

static int look_at(struct dl_phdr_info *info, size_t size, void *unused)
{
    struct module *m = &modules[module_count];
    struct dynamic d = {0};

    if (module_count == MODULES_MAX)
        return 1;
    name_of(info->dlpi_name, m->name, sizeof(m->name));
    if (!*m->name)
        return 0;
    m->base = info->dlpi_addr;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_DYNAMIC)
            read_dynamic((const void *)(m->base + p->p_vaddr), &d);
        else if (p->p_type == PT_LOAD)
            m->end = m->base + p->p_vaddr + p->p_memsz;
    }
    module_count++;
    patch(m->base, &d, d.relocations, d.relocations_size);
    patch(m->base, &d, d.plt, d.plt_size);
    return 0;
}

bool faults_patch(void)
{
    if (!module_count)
        dl_iterate_phdr(look_at, NULL);
    return module_count > 0;
}

bool faults_under_test(uintptr_t address, const char **module, uintptr_t *offset)
{
    for (unsigned i = 0; i < module_count; i++) {
        if (address < modules[i].base || address >= modules[i].end)
            continue;
        *module = modules[i].name;
        *offset = address - modules[i].base;
        return true;
    }
    return false;
}
