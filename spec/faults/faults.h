/*
 * faults.h: the fault-injection layer of the specs.
 *
 * DESIGN. The Lua module "faults" changes the global offset tables of what is under test (the
 * library, the Lua module, the command), so that the calls these make into libc and libuv come
 * here first; calls of other libraries do not. While armed, calls that can fail are counted, and
 * one of them, or one and all that follow it, fails. A point is known by the functions of the code
 * under test that led to it: their return addresses, hashed. Memory taken while armed is remembered
 * until it is freed, so that what leaks can be named.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAULTS_FRAMES = 24 };

/* Return addresses in the code under test, innermost first; 0 ends a shorter list. */
struct faults_trace {
    uintptr_t frames[FAULTS_FRAMES];
};

/* faults.c */
enum faults_class { FAULT_FAILS, FAULT_INTERRUPTED };

/* Counts a call; true if it has to fail. */
bool faults_here(const char *name, enum faults_class class);
/* The point at which memory is taken now: 0 if nothing is armed. */
unsigned long faults_now(void);
void faults_trace(struct faults_trace *out);

/* calls.c: the functions that are put in place of others. */
struct faults_call {
    const char *name;
    void *replacement;
};
extern const struct faults_call faults_calls[];

/* run.c: KVM_RUN. */
int faults_run(int fd);
void faults_run_mapped(int fd, size_t size, void *mapping);
int faults_lua_exits(lua_State *L);

/* storm.c */
int faults_lua_storm(lua_State *L);

/* patch.c */
bool faults_patch(void);
bool faults_under_test(uintptr_t address, const char **module, uintptr_t *offset);

/* blocks.c */
void faults_block_taken(void *block, size_t size);
void faults_block_freed(void *block);
/* Pushes a list of {point=, size=, trace=} of blocks taken while armed and not freed. */
void faults_push_blocks(lua_State *L);
void faults_forget_blocks(void);
void faults_push_trace(lua_State *L, const struct faults_trace *trace);

/* lua_memory.c */
int faults_lua_arm(lua_State *L);
int faults_lua_disarm(lua_State *L);

#endif
