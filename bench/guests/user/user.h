/*
 * user.h: what guests in C have: they run in ring 3 of 64-bit mode (../user_guest.h), with all
 * ports open to them, on one-to-one page tables, without interrupts and without a library.
 */
#ifndef BENCH_USER_H
#define BENCH_USER_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t now(void)
{
    return __builtin_ia32_rdtsc();
}

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

/* Registers of a PCI function, given as the address register wants it: see pci_function(). */
static inline uint32_t pci_function(unsigned slot)
{
    return 0x80000000u | slot << 11;
}
uint32_t pci_read(uint32_t function, uint32_t reg);
void pci_write(uint32_t function, uint32_t reg, uint32_t v);

/* Prints a line of a name and hexadecimal numbers for the benchmark. */
void report(const char *name, const uint64_t *values, unsigned count);
void end(void) __attribute__((noreturn));  /* ends the run */
void fail(void) __attribute__((noreturn)); /* reports that something is wrong, and ends it */

/* The guest itself; when it returns, the run ends. */
void guest_main(void);

#endif
