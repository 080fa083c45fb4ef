/*
 * disassemble.c: machine code as text, by libcapstone, which is loaded when it is first needed.
 * Without its header at build time there is no disassembler.
 */
#include <stdio.h>

#include "bindings.h"

#ifdef LUNIK_CAPSTONE
#include <capstone/capstone.h>
#include <dlfcn.h>
#include <pthread.h>

#define SONAME "libcapstone.so.4"

enum { INSTRUCTION_MAX = 15 };

#define CAPSTONE_FUNCTIONS(X) X(open) X(close) X(option) X(disasm) X(free)

static struct {
#define MEMBER(name) __typeof__(cs_##name) *name;
    CAPSTONE_FUNCTIONS(MEMBER)
#undef MEMBER
} library;
static char reason[160]; /* empty: it is loaded */

static void load(void)
{
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    /* Its text is of this thread. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const char *missing = handle ? NULL : dlerror();

#define LOAD(name)                                                                                 \
    if (!missing && !(library.name = (__typeof__(library.name))dlsym(handle, "cs_" #name)))        \
        missing = "cs_" #name " is missing";
    CAPSTONE_FUNCTIONS(LOAD)
#undef LOAD
    snprintf(reason, sizeof(reason), "%s", missing ? missing : "");
}

static void check_library(lua_State *L)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    if (*reason)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "disassemble: can't load %s: %s", SONAME, reason);
}

/* Writes the text of the first instruction, empty if there is none; returns its length in bytes,
 * negative without memory. */
static int decode(const char *code, size_t size, uint64_t address, cs_mode mode, char *text,
                  size_t room)
{
    csh handle;
    cs_insn *insn;
    int length = 0;

    if (library.open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK)
        return -1;
    library.option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    *text = '\0';
    if (library.disasm(handle, (const uint8_t *)code, size, address, 1, &insn)) {
        snprintf(text, room, *insn->op_str ? "%-8s %s" : "%s", insn->mnemonic, insn->op_str);
        length = insn->size;
        library.free(insn, 1);
    }
    library.close(&handle);
    return length;
}

/* core.disassemble(bytes, position, address, mode) -> the length of the instruction at that
 * position and its text; nil if there is none; mode: 16, 32 or 64 */
static int disassemble(lua_State *L)
{
    size_t size, from;
    const char *code = bind_data(L, 1, "disassemble: bytes", &size);
    uint64_t address;
    cs_mode mode;
    char text[CS_MNEMONIC_SIZE + 256];
    int length;

    from = (size_t)bind_int(L, 2, "disassemble: position", 1, LUA_MAXINTEGER) - 1;
    address = (uint64_t)luaL_checkinteger(L, 3); /* all 64 bits */
    switch (bind_int(L, 4, "disassemble: mode", 16, 64)) {
    case 16:
        mode = CS_MODE_16;
        break;
    case 32:
        mode = CS_MODE_32;
        break;
    default:
        mode = CS_MODE_64;
    }
    check_library(L);
    if (from >= size)
        return 0;
    size -= from;
    length = decode(code + from, size < INSTRUCTION_MAX ? size : INSTRUCTION_MAX, address, mode,
                    text, sizeof(text));
    if (length < 0)
        return bind_fail(L, LUNIK_E_NO_MEMORY, "disassemble: out of memory");
    if (!length)
        return 0;
    lua_pushinteger(L, length);
    lua_pushstring(L, text);
    return 2;
}
#else
static int disassemble(lua_State *L)
{
    return bind_fail(L, LUNIK_E_UNSUPPORTED,
                     "disassemble: there is no disassembler: Lunik was built without capstone");
}
#endif

const luaL_Reg bind_disassemble_functions[] = {
    {"disassemble", disassemble},
    {0},
};
