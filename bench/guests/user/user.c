/* user.c: see user.h. */
#include "user.h"

#define REPORT_PORT 0xe9
#define EXIT_PORT   0xf4
#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc

void start(void);

void end(void)
{
    outb(EXIT_PORT, 0);
    for (;;)
        __builtin_ia32_pause();
}

static void print(const char *text)
{
    while (*text)
        outb(REPORT_PORT, (uint8_t)*text++);
}

static void print_number(uint64_t value)
{
    unsigned shift = 60;

    while (shift && !(value >> shift))
        shift -= 4;
    for (;; shift -= 4) {
        outb(REPORT_PORT, (uint8_t) "0123456789abcdef"[value >> shift & 15]);
        if (!shift)
            return;
    }
}

void report(const char *name, const uint64_t *values, unsigned count)
{
    print(name);
    for (unsigned i = 0; i < count; i++) {
        print(" ");
        print_number(values[i]);
    }
    print("\n");
}

void fail(void)
{
    report("failed", 0, 0);
    end();
}

uint32_t pci_read(uint32_t function, uint32_t reg)
{
    outl(PCI_ADDRESS, function | reg);
    return inl(PCI_DATA);
}

void pci_write(uint32_t function, uint32_t reg, uint32_t v)
{
    outl(PCI_ADDRESS, function | reg);
    outl(PCI_DATA, v);
}

/* The entry: user_guest.h comes here. */
__attribute__((section(".text.start"))) void start(void)
{
    guest_main();
    end();
}
