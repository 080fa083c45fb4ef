/* agent.h: what the files of the agent share. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "call.h"
#include "sys.h"

/* A command: its name, the words that its arguments may be, and what it does. run() puts fields
 * into the answer and returns 0, or returns a negative errno. Tables end with {0}. */
struct command {
    const char *name;
    const char *arguments;
    long (*run)(struct call *c);
};

extern const struct command file_commands[];
extern const struct command device_commands[];
extern const struct command tree_commands[];
extern const struct command socket_commands[];
extern const struct command network_commands[];
extern const struct command memory_commands[];
extern const struct command system_commands[];
extern const struct command log_commands[];

/* A file descriptor that a client has opened. handle_add() takes fd over. */
long handle_add(struct call *c, long fd);
long handle_get(struct call *c);
void handle_close(long fd);

/* A range of memory by the argument "memory"; NULL and c->rc if there is none. */
void *memory_get(struct call *c, size_t *size);

/* Memory for transfers, aligned for O_DIRECT. Holds what it held only until the next command. */
#define BUFFER_SIZE 262144
extern unsigned char buffer[BUFFER_SIZE];

/* What fills memory and files: 64-bit words, by a seed and their number. */
uint64_t pattern_word(uint64_t seed, uint64_t index);
void pattern_fill(void *data, size_t size, uint64_t seed, uint64_t index);
/* Returns the first byte of a word that differs, or size. */
size_t pattern_verify(const void *data, size_t size, uint64_t seed, uint64_t index);

struct sha256 {
    uint32_t state[8];
    uint64_t size;
    unsigned char block[64];
};
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t size);
/* Puts the hash into the answer as hexadecimal digits. */
void sha256_answer(struct call *c, struct sha256 *s);

/* Whether this is the first process of a system, which it may restart and crash. */
extern bool whole_system;
/* What to do once the answer is written; NULL: nothing. */
extern void (*afterwards)(void);

/* ---- the port -------------------------------------------------------------------------------- */

/* Opens the port by its name: "ttyS0", the name of a virtio port, a path, or "-" for standard input
 * and output. Waits until there is one. */
void port_open(const char *name);

/* Reads what has come; waits for it. Returns its size; 0: the other side is gone for good. */
size_t port_read(char *data, size_t size);
void port_write(const char *data, size_t size);
/* Waits until a terminal has sent what was written. */
void port_drain(void);

/* Mounts /dev, /proc and /sys where they are missing. */
void mount_kernel_filesystems(void);

/* Writes a line to the kernel's log. */
void log_line(const char *words, const char *more);

#endif
