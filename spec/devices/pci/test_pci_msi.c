/*
 * test_pci_msi.c: MSI and MSI-X of a card, driven at random as a guest and a device do it, next to
 * a model of both that is written from the specification.
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>
#include <unistd.h>

#include "pci_rig.h"
#include "pci_card.h"

#define BAR UINT32_C(0xe5000000)

enum { AT = PCI_DEVFN(4, 0), MSI_BYTES = 24, MESSAGES = 256, STEPS = 60000 };

static lunik_error err;
static struct rig rig;
static lunik_object *card;
static unsigned msi_at, msix_at;

/* ---- messages ------------------------------------------------------------------------------- */

struct messages {
    unsigned count;
    lunik_msi at[MESSAGES];
};

static struct messages got, want;

static void note(struct messages *list, uint64_t address, uint32_t data)
{
    if (list->count < MESSAGES)
        list->at[list->count++] = (lunik_msi){.address = address, .data = data};
}

static void on_message(void *opaque, lunik_object *source, const lunik_msi *msg)
{
    note(&got, msg->address, msg->data);
}

static lunik_msi_sub messages = {.fn = on_message};

/* ---- the model ------------------------------------------------------------------------------ */

static struct {
    uint16_t command, msix_control;
    uint8_t msi[MSI_BYTES]; /* the capability */
    uint32_t table[CARD_VECTORS][4];
    bool pending[CARD_VECTORS];
} model;

/* The bits of the MSI capability that the guest may change. */
static const uint8_t msi_writable[MSI_BYTES] = {[2] = 0x71, [4] = 0xfc, 0xff, 0xff,
                                                0xff,       [8] = 0xff, 0xff, 0xff,
                                                0xff,       0xff,       0xff, [16] = 0xff};

static uint32_t msi_long(unsigned at)
{
    return lunik_pci_get_long(model.msi, at);
}

static void model_reset(void)
{
    memset(&model, 0, sizeof(model));
    model.msi[2] = 0x86; /* 8 vectors, 64-bit addresses */
    model.msi[3] = 0x01; /* masks */
    for (unsigned v = 0; v < CARD_VECTORS; v++)
        model.table[v][3] = 1;
}

static unsigned model_msi_vectors(void)
{
    unsigned given = model.msi[2] >> 4 & 7;

    return model.msi[2] & 1 ? 1u << (given > 3 ? 3 : given) : 0;
}

static bool model_master(void)
{
    return model.command & LUNIK_PCI_COMMAND_MASTER;
}

static void model_note(uint64_t address, uint32_t data)
{
    if (address >= 0xfee00000 && address <= 0xfeefffff)
        note(&want, address, data);
}

static void model_send_msi(unsigned v)
{
    uint32_t data = model.msi[12] | (uint32_t)model.msi[13] << 8;

    model_note((uint64_t)msi_long(8) << 32 | msi_long(4), data - data % model_msi_vectors() + v);
}

static void model_send_msix(unsigned v)
{
    model_note((uint64_t)model.table[v][1] << 32 | model.table[v][0], model.table[v][2]);
}

static bool model_msix_open(unsigned v)
{
    return model_master() && (model.msix_control & 0xc000) == 0x8000 && !(model.table[v][3] & 1);
}

static void model_settle(void)
{
    for (unsigned v = 0; v < model_msi_vectors(); v++)
        if (model_master() && model.msi[20] >> v & 1 && !(model.msi[16] >> v & 1)) {
            model.msi[20] &= (uint8_t) ~(1u << v);
            model_send_msi(v);
        }
    for (unsigned v = 0; v < CARD_VECTORS; v++)
        if (model.pending[v] && model_msix_open(v)) {
            model.pending[v] = false;
            model_send_msix(v);
        }
}

static void model_vector(unsigned v)
{
    unsigned vectors = model_msi_vectors();

    if (model.msix_control & 0x8000) {
        v %= CARD_VECTORS;
        model.pending[v] = !model_msix_open(v);
        if (!model.pending[v])
            model_send_msix(v);
    } else if (vectors) {
        v %= vectors;
        if (model_master() && !(model.msi[16] >> v & 1))
            model_send_msi(v);
        else
            model.msi[20] |= (uint8_t)(1u << v);
    }
}

/* ---- what guest and device do --------------------------------------------------------------- */

static uint32_t seed = 12345;

static uint32_t chance(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static uint32_t chance_word(void)
{
    static const uint32_t usual[] = {0, 0xfee00000, 0xfee01004, 0xfeefffff, 0xfef00000, UINT32_MAX};

    return chance(3) ? usual[chance(6)] : chance(UINT32_MAX);
}

static void write_command(void)
{
    uint16_t value = (uint16_t)(LUNIK_PCI_COMMAND_MEMORY | (chance(4) ? 4 : 0));

    model.command = value;
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, value);
    model_settle();
}

static void write_msi(void)
{
    unsigned size = 1u << chance(3), at = chance(MSI_BYTES) & ~(size - 1);
    uint32_t value = at == 2 ? chance(256) : chance_word();

    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = msi_writable[at + i];

        model.msi[at + i] = (uint8_t)((model.msi[at + i] & ~mask) | (value >> 8 * i & mask));
    }
    set_config(&rig, AT, msi_at + at, size, value);
    model_settle();
}

static void write_msix(void)
{
    model.msix_control = (uint16_t)(chance(4) << 14);
    set_config(&rig, AT, msix_at + 2, 2, model.msix_control | chance(0x4000));
    model_settle();
}

static void write_entry(void)
{
    static const uint32_t mask[] = {~3u, ~0u, ~0u, 1};
    unsigned v = chance(CARD_VECTORS), word = chance(4);
    uint64_t value = word == 3 ? chance(4) : word == 1 ? 0 : chance_word();
    bool wide = !(word & 1) && chance(2);

    if (wide)
        value |= (uint64_t)(word ? chance(4) : 0) << 32;
    model.table[v][word] = (uint32_t)value & mask[word];
    if (wide)
        model.table[v][word + 1] = (uint32_t)(value >> 32) & mask[word + 1];
    lunik_space_store(rig.memory, BAR + CARD_TABLE + 16 * v + 4 * word, wide ? 8 : 4, value);
    model_settle();
}

static void send_vector(void)
{
    unsigned v = chance(2) ? chance(CARD_VECTORS) : chance(100000);

    model_vector(v);
    lunik_pci_vector_send(card_function(card), v);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool same_registers(void)
{
    bool same = (config(&rig, AT, msix_at, 4) >> 16) == (model.msix_control | (CARD_VECTORS - 1));

    for (unsigned i = 2; i < MSI_BYTES; i++)
        same &= config(&rig, AT, msi_at + i, 1) == model.msi[i];
    for (unsigned v = 0; v < CARD_VECTORS; v++) {
        uint64_t bits = load(&rig, BAR + CARD_PBA + v / 64 * 8, 8);

        for (unsigned word = 0; word < 4; word++)
            same &= load(&rig, BAR + CARD_TABLE + 16 * v + 4 * word, 4) == model.table[v][word];
        same &= (bits >> v % 64 & 1) == model.pending[v];
    }
    return same;
}

static bool same_messages(void)
{
    bool same = got.count == want.count && !memcmp(got.at, want.at, got.count * sizeof(got.at[0]));

    got.count = want.count = 0;
    return same;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void open_bar(void)
{
    set_config(&rig, AT, LUNIK_PCI_BAR0, 4, BAR);
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, LUNIK_PCI_COMMAND_MEMORY);
    model_reset();
    model.command = LUNIK_PCI_COMMAND_MEMORY;
}

static void test_random(void)
{
    static void (*const actions[])(void) = {write_command, write_msi,   write_msi,
                                            write_msix,    write_entry, write_entry,
                                            send_vector,   send_vector, send_vector};
    unsigned sent = 0, step;

    open_bar();
    for (step = 0; step < STEPS; step++) {
        unsigned action = chance(sizeof(actions) / sizeof(actions[0]));

        actions[action]();
        sent += got.count;
        if (!same_messages() || (step % 64 == 0 && model.command & 2 && !same_registers())) {
            printf("# step %u, action %u\n", step, action);
            break;
        }
    }
    check_uint("the card does as the model does", step, STEPS);
    check_true("messages are sent", sent > STEPS / 100);
}

static void test_other_accesses(void)
{
    uint64_t value;

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    open_bar();
    check_true("a byte of the table is refused",
               lunik_space_load(rig.memory, BAR + CARD_TABLE, 1, &value) < 0);
    lunik_space_store(rig.memory, BAR + CARD_PBA, 8, UINT64_MAX);
    check_uint("pending bits are read-only", load(&rig, BAR + CARD_PBA, 8), 0);
    check_uint("the registers are next to the table", load(&rig, BAR + 1, 1), 0x51);
}

static unsigned events;

static void on_event(void *opaque, const lunik_event *event)
{
    events += !strcmp(event->name, "msi");
}

static lunik_event_sub event_sub = {.fn = on_event};

static void test_event(void)
{
    uint64_t before = lunik_msi_count(rig.m);

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    open_bar();
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, 6);
    set_config(&rig, AT, msi_at + 4, 4, 0xfee00000);
    set_config(&rig, AT, msi_at + 2, 1, 1);
    lunik_run_timeout(rig.rt, 0);
    lunik_event_subscribe(rig.m, &event_sub);
    lunik_pci_vector_send(card_function(card), 0);
    lunik_run_timeout(rig.rt, 0);
    check_uint("a message is an event", events, 1);
    check_uint("  and counted", lunik_msi_count(rig.m), before + 1);
    lunik_event_unsubscribe(&event_sub);
}

/* With MSI on the pin is low, and as before when it is off. */
static void test_pin(void)
{
    lunik_pci_function *f = card_function(card);

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    lunik_pci_intx_set(f, true);
    check_true("the pin is driven", f->driven);
    set_config(&rig, AT, msi_at + 2, 1, 1);
    check_true("not with MSI on", !f->driven);
    check_uint("vectors", lunik_pci_vectors(f), 1);
    set_config(&rig, AT, msi_at + 2, 1, 0);
    check_true("but with MSI off", f->driven);
    set_config(&rig, AT, msix_at + 3, 1, 0x80);
    check_true("not with MSI-X on", !f->driven);
    check_uint("vectors", lunik_pci_vectors(f), CARD_VECTORS);
    lunik_pci_intx_set(f, false);
}

static void test_function_reset(void)
{
    struct card *s = lunik_state(card);
    unsigned at = lunik_pci_capability_find(&s->function, LUNIK_PCI_CAP_FEATURES), before;

    open_bar();
    set_config(&rig, AT, msix_at + 3, 1, 0x80);
    lunik_space_store(rig.memory, BAR + CARD_TABLE + 12, 4, 0);
    lunik_pci_vector_send(&s->function, 3);
    before = s->resets;
    set_config(&rig, AT, at + 4, 1, 1);
    check_uint("a function-level reset", s->resets, before + 1);
    check_uint("  reads as zero", config(&rig, AT, at + 4, 1), 0);
    check_uint("  MSI-X is off", config(&rig, AT, msix_at + 2, 2), CARD_VECTORS - 1);
    open_bar();
    check_true("  its vectors are masked and none is pending", same_registers());
}

/* A signal of a vector's eventfd is a message, or pending, like a call. */
static void test_eventfd(void)
{
    lunik_pci_function *f = card_function(card);
    int fd = lunik_pci_vector_fd(f, 2, &err);
    uint64_t before = lunik_msi_count(rig.m);

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    open_bar();
    check_true("an eventfd", fd >= 0);
    check_int("the same again", lunik_pci_vector_fd(f, 2, &err), fd);
    check_int("no such vector", lunik_pci_vector_fd(f, CARD_VECTORS, &err), -1);
    check_contains("  says how many", err.message, "vector 70 does not exist (there are 70)");
    set_config(&rig, AT, LUNIK_PCI_COMMAND, 2, 6);
    set_config(&rig, AT, msix_at + 3, 1, 0x80);
    lunik_space_store(rig.memory, BAR + CARD_TABLE + 32, 4, 0xfee00000);
    check_int("signal", (int)write(fd, &(uint64_t){1}, 8), 8);
    lunik_run_timeout(rig.rt, 0);
    check_uint("masked: pending", load(&rig, BAR + CARD_PBA, 8), 4);
    lunik_space_store(rig.memory, BAR + CARD_TABLE + 32 + 12, 4, 0);
    check_uint("unmasked: sent", lunik_msi_count(rig.m), before + 1);
    check_uint("  and pending no more", load(&rig, BAR + CARD_PBA, 8), 0);
    check_int("signal", (int)write(fd, &(uint64_t){5}, 8), 8);
    lunik_run_timeout(rig.rt, 0);
    check_uint("signals in a row are one message", lunik_msi_count(rig.m), before + 2);
}

static void test_state(void)
{
    lunik_state_buffer saved = {0};
    uint8_t *byte;

    must("reset", lunik_machine_reset(rig.m, &err), &err);
    open_bar();
    set_config(&rig, AT, msix_at + 3, 1, 0x80);
    model.msix_control = 0x8000;
    for (unsigned i = 0; i < 200; i++) {
        write_entry();
        send_vector();
    }
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(card, &saved, &err), &err);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    must("load", lunik_object_load(card, saved.data, saved.size, &err), &err);
    check_true("all is as it was saved", same_registers());
    byte = memmem(saved.data, saved.size, "msix_pending", 12);
    check_true("pending bits are saved", byte);
    for (size_t cut = 1; cut < 400 && cut < saved.size; cut++)
        check_failures += !lunik_object_load(card, saved.data, saved.size - cut, &err);
    check_true("after states that are cut short it is still so", same_registers());
    lunik_state_buffer_free(&saved);
    must("start", lunik_machine_start(rig.m, &err), &err);
}

int main(void)
{
    rig_open(&rig, LUNIK_ACCEL_NONE, true);
    card = card_add(&rig, "card", "host", "4.0");
    lunik_msi_subscribe(rig.m, &messages);
    msi_at = lunik_pci_capability_find(card_function(card), LUNIK_PCI_CAP_MSI);
    msix_at = lunik_pci_capability_find(card_function(card), LUNIK_PCI_CAP_MSIX);
    test_random();
    test_other_accesses();
    test_event();
    test_pin();
    test_function_reset();
    test_eventfd();
    test_state();
    rig_close(&rig);
    return check_result();
}
