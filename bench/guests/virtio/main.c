/* main.c: finds the device and measures it. */
#include "guest.h"

#define REPORT_PORT 0xe9
#define EXIT_PORT   0xf4

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

/* The entry: virtio.S comes here. */
__attribute__((section(".text.start"))) void start(void)
{
    struct device d = {0};

    if (device_find(VIRTIO_BLK, &d))
        measure_disk(&d);
    else if (device_find(VIRTIO_NET, &d))
        measure_network(&d);
    else
        fail();
    end();
}
