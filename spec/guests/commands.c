/*
 * commands.c: the command language. A command is a word and its arguments, separated by blanks;
 * commands are separated by ';' or, on the UART, by line ends. Each answers with one line that
 * starts with "ok" or "error". Numbers are decimal or start with 0x.
 */
#include "commands.h"

#define WORD 32

#define EXIT_PORT  0xf4
#define RESET_PORT 0xcf9
#define KBD_PORT   0x64
#define FAST_PORT  0x92

struct command {
    const char *name;
    unsigned min, max; /* arguments */
    const char *usage;
    void (*fn)(const struct args *a);
};

static void help(const struct args *a);

/* ---- devices -------------------------------------------------------------------------------- */

static void in(const struct args *a)
{
    uint16_t port = (uint16_t)a->n[0];
    uint64_t size = a->count > 1 ? a->n[1] : 1;

    print("ok in 0x%x\n", size == 4 ? inl(port) : size == 2 ? inw(port) : inb(port));
}

static void out(const struct args *a)
{
    uint16_t port = (uint16_t)a->n[0];
    uint64_t size = a->count > 2 ? a->n[2] : 1;

    if (size == 4)
        outl(port, (uint32_t)a->n[1]);
    else if (size == 2)
        outw(port, (uint16_t)a->n[1]);
    else
        outb(port, (uint8_t)a->n[1]);
    print("ok out\n");
}

static void outloop(const struct args *a)
{
    uint64_t start = time_now_us();

    for (uint64_t i = 0; i < a->n[2]; i++)
        outb((uint16_t)a->n[0], (uint8_t)a->n[1]);
    print("ok outloop %lu in %lu us\n", a->n[2], time_now_us() - start);
}

static void inloop(const struct args *a)
{
    uint64_t start = time_now_us();

    for (uint64_t i = 0; i < a->n[1]; i++)
        inb((uint16_t)a->n[0]);
    print("ok inloop %lu in %lu us\n", a->n[1], time_now_us() - start);
}

static void slots(const struct args *a)
{
    (void)a;
    hotplug_print();
    print("ok slots\n");
}

/* Replaces the command line's refuse-insert and refuse-eject from now on. */
static void refuse(const struct args *a)
{
    options.refuse_insert = a->n[0];
    options.refuse_eject = a->n[1];
    print("ok refuse %lu %lu\n", a->n[0], a->n[1]);
}

/* Begins to take care of memory, where no-hotplug kept the guest from it. */
static void hotplug(const struct args *a)
{
    (void)a;
    hotplug_init();
    print("ok hotplug\n");
}

static void wait_insert(const struct args *a)
{
    while (hotplug_inserted < a->n[0])
        wait_event();
    print("ok wait-insert %u\n", hotplug_inserted);
}

static void wait_eject(const struct args *a)
{
    while (hotplug_ejected < a->n[0])
        wait_event();
    print("ok wait-eject %u\n", hotplug_ejected);
}

static void vector(const struct args *a)
{
    print("ok vector %u\n", irq_count((uint8_t)a->n[0]));
}

static void wait_vector(const struct args *a)
{
    while (irq_count((uint8_t)a->n[0]) < a->n[1])
        wait_event();
    print("ok wait-vector %u\n", irq_count((uint8_t)a->n[0]));
}

/* ---- processors ----------------------------------------------------------------------------- */

static void start_cpus(const struct args *a)
{
    (void)a;
    smp_start();
    print("ok cpus %u\n", smp_online);
}

static void ap_touch(const struct args *a)
{
    smp_start();
    if (smp_online < 2) {
        print("error ap-touch: there is one cpu\n");
        return;
    }
    smp_touch(a->n[0], a->n[1] * PAGE);
    print("ok ap-touch %u cpus\n", smp_online - 1);
}

static void ap_io(const struct args *a)
{
    smp_start();
    print("ok ap-io %u cpus\n",
          smp_access((uint16_t)a->n[0], a->n[1], a->count > 2 ? a->n[2] : smp_online));
}

static void ap_stop(const struct args *a)
{
    (void)a;
    smp_stop();
    print("ok ap-stop\n");
}

static void run_ud(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

static void run_int3(void *arg)
{
    (void)arg;
    __asm__ volatile("int3");
}

static void run_popcnt(void *arg)
{
    __asm__ volatile("popcnt %1, %0" : "=r"(*(uint64_t *)arg) : "r"(0xffull) : "cc");
}

static void report_fault(const char *name, int vector)
{
    if (vector < 0)
        print("ok %s no exception\n", name);
    else
        print("ok %s exception %u\n", name, (unsigned)vector);
}

static void ud(const struct args *a)
{
    (void)a;
    report_fault("ud", call_protected(run_ud, NULL, false));
}

static void int3(const struct args *a)
{
    (void)a;
    report_fault("int3", call_protected(run_int3, NULL, false));
}

static void popcnt(const struct args *a)
{
    uint64_t result = 0;

    (void)a;
    report_fault("popcnt", call_protected(run_popcnt, &result, false));
}

/* ---- time and the end ----------------------------------------------------------------------- */

static void show_time(const struct args *a)
{
    (void)a;
    print("ok time %lu us, pm timer 0x%x\n", time_now_us(), time_pm_timer());
}

static void sleep_ms(const struct args *a)
{
    time_sleep_ms(a->n[0]);
    print("ok sleep %lu\n", a->n[0]);
}

static void halt(const struct args *a)
{
    (void)a;
    print("ok halt\n");
    stop();
}

static void crash(const struct args *a)
{
    (void)a;
    *(volatile uint64_t *)(1ull << 46) = 0; /* never mapped */
}

/* An exception without an interrupt table can't be delivered, nor can that fault. */
static void triple(const struct args *a)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    (void)a;
    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void poweroff(const struct args *a)
{
    (void)a;
    print("ok poweroff\n");
    acpi_poweroff();
    stop();
}

static void suspend(const struct args *a)
{
    (void)a;
    sleep_suspend();
}

static void reset(const struct args *a)
{
    print("ok reset\n");
    if (a->n[0] == 1) {
        outb(KBD_PORT, 0xfe);
    } else if (a->n[0] == 2) {
        outb(FAST_PORT, 0x01);
    } else {
        outb(RESET_PORT, 0x02);
        outb(RESET_PORT, 0x06);
    }
    stop();
}

static void exit_code(const struct args *a)
{
    print("ok exit %lu\n", a->n[0]);
    outb(EXIT_PORT, (uint8_t)a->n[0]);
    stop();
}

static void memory_map(const struct args *a)
{
    (void)a;
    print("ok map %u ranges, 0x%lx bytes of RAM\n", boot.map_count, boot.ram);
}

static void modules(const struct args *a)
{
    (void)a;
    for (unsigned i = 0; i < boot.module_count; i++)
        print("module %u at 0x%lx size 0x%lx '%s'\n", i, boot.modules[i].address,
              boot.modules[i].size, boot.modules[i].string ? boot.modules[i].string : "");
    print("ok modules %u\n", boot.module_count);
}

static const struct command commands[] = {
    {"help", 0, 0, "", help},
    {"touch", 2, 3, "ADDRESS PAGES [SEED]", command_touch},
    {"verify", 2, 3, "ADDRESS PAGES [SEED]", command_verify},
    {"fill", 3, 3, "ADDRESS SIZE BYTE", command_fill},
    {"hash", 2, 2, "ADDRESS SIZE", command_hash},
    {"read", 1, 2, "ADDRESS [SIZE]", command_read},
    {"write", 2, 3, "ADDRESS VALUE [SIZE]", command_write},
    {"in", 1, 2, "PORT [SIZE]", in},
    {"out", 2, 3, "PORT VALUE [SIZE]", out},
    {"outloop", 3, 3, "PORT VALUE COUNT", outloop},
    {"inloop", 2, 2, "PORT COUNT", inloop},
    {"mmioread", 2, 2, "ADDRESS COUNT", command_mmioread},
    {"mmiowrite", 3, 3, "ADDRESS VALUE COUNT", command_mmiowrite},
    {"slots", 0, 0, "", slots},
    {"refuse", 2, 2, "INSERT EJECT", refuse},
    {"hotplug", 0, 0, "", hotplug},
    {"wait-insert", 1, 1, "COUNT", wait_insert},
    {"wait-eject", 1, 1, "COUNT", wait_eject},
    {"vector", 1, 1, "VECTOR", vector},
    {"wait-vector", 2, 2, "VECTOR COUNT", wait_vector},
    {"cpus", 0, 0, "", start_cpus},
    {"ap-touch", 2, 2, "ADDRESS PAGES", ap_touch},
    {"ap-io", 2, 3, "PORT ADDRESS [CPUS]", ap_io},
    {"ap-stop", 0, 0, "", ap_stop},
    {"ioapic", 0, 0, "", command_ioapic},
    {"ud", 0, 0, "", ud},
    {"int3", 0, 0, "", int3},
    {"popcnt", 0, 0, "", popcnt},
    {"time", 0, 0, "", show_time},
    {"sleep", 1, 1, "MS", sleep_ms},
    {"map", 0, 0, "", memory_map},
    {"modules", 0, 0, "", modules},
    {"halt", 0, 0, "", halt},
    {"crash", 0, 0, "", crash},
    {"triple", 0, 0, "", triple},
    {"poweroff", 0, 0, "", poweroff},
    {"suspend", 0, 0, "", suspend},
    {"reset", 0, 1, "[HOW]", reset},
    {"exit", 1, 1, "CODE", exit_code},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(const struct args *a)
{
    (void)a;
    for (size_t i = 0; i < COMMANDS; i++)
        print("%s %s\n", commands[i].name, commands[i].usage);
    print("ok help\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (text_equal(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* Copies the next word to buf and returns what follows it; an overlong word is cut. */
static const char *next_word(const char *s, char *buf)
{
    unsigned n = 0;

    while (*s == ' ')
        s++;
    for (; *s && *s != ' ' && *s != ';'; s++)
        if (n < WORD - 1)
            buf[n++] = *s;
    buf[n] = 0;
    return s;
}

static const char *skip_command(const char *s)
{
    while (*s && *s != ';')
        s++;
    return s;
}

/* Runs the command at s; returns the end of it. */
static const char *run(const char *s)
{
    const struct command *c;
    struct args a = {0};
    char word[WORD];

    s = next_word(s, word);
    if (!*word)
        return s;
    c = find(word);
    if (!c) {
        print("error '%s' is unknown, try help\n", word);
        return skip_command(s);
    }
    for (s = next_word(s, word); *word; s = next_word(s, word)) {
        if (a.count == MAX_ARGS || !parse_number(word, &a.n[a.count])) {
            print("error %s: '%s' is not a number\n", c->name, word);
            return skip_command(s);
        }
        a.count++;
    }
    if (a.count < c->min || a.count > c->max)
        print("error %s: want %s\n", c->name, c->usage);
    else
        c->fn(&a);
    return s;
}

void commands_run(const char *text)
{
    while (*text) {
        text = run(text);
        if (*text == ';')
            text++;
        poll_events();
    }
}
