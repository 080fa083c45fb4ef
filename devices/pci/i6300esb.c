/*
 * i6300esb.c: the watchdog timer of the Intel 6300ESB I/O controller hub (300641-002, chapter 16).
 *
 * Two stages of 20 bits count the PCI clock, scaled to about 1 kHz or 1 MHz. Registers take a write
 * only after 0x80 and 0x86 have been written to the reload register. At the end of the second stage
 * the machine does what the property `action` says, and the device is reset.
 *
 * Not modelled: the interrupt or SMI at the end of the first stage, apart from its status bit.
 */
#include "pci.h"
#include "../action.h"
#include "../ports.h"
#include "../types.h"

#define ESB_CONFIG       0x60 /* in configuration space, 16 bits */
#define CONFIG_INT_MASK  0x03
#define CONFIG_INT_OFF   0x03
#define CONFIG_FAST      0x04
#define CONFIG_NO_REBOOT 0x20
#define ESB_LOCK         0x68 /* 8 bits */
#define LOCK_LOCKED      0x01
#define LOCK_ENABLE      0x02
#define LOCK_FREE_RUN    0x04

#define ESB_TIMER1     0x00 /* in BAR 0 */
#define ESB_TIMER2     0x04
#define ESB_STATUS     0x08
#define STATUS_EXPIRED 0x01
#define ESB_RELOAD     0x0c
#define RELOAD_NOW     0x0100
#define RELOAD_TIMEOUT 0x0200 /* write 1 to clear, as the bit above */
#define RELOAD_REBOOT  0x1000
#define UNLOCK_FIRST   0x80
#define UNLOCK_SECOND  0x86

enum { BAR_SIZE = 16, TIMER_MASK = 0xfffff };
enum { SLOW_SHIFT = 15, FAST_SHIFT = 5, PCI_MHZ = 33 };
enum { UNLOCK_NONE, UNLOCK_HALF, UNLOCK_OPEN };

struct i6300esb {
    lunik_object *bus;
    char *addr;
    uint64_t acpi_index;
    int action; /* property: index into action_names */

    lunik_pci_function function;
    lunik_region *regs;
    lunik_timer timer;
    uint32_t preload[2];
    uint8_t stage; /* that is counted: 0 or 1 */
    uint8_t unlock, status;
    bool enabled;   /* as last seen in ESB_LOCK */
    bool timed_out; /* kept over a reset */
};

static const enum device_action actions[] = {
    ACTION_RESET, ACTION_POWERDOWN, ACTION_SHUTDOWN,   ACTION_PAUSE,
    ACTION_NONE,  ACTION_NONE,      ACTION_INJECT_NMI,
};
static const char *const action_names[] = {"reset", "shutdown", "poweroff",   "pause",
                                           "debug", "none",     "inject-nmi", NULL};

/* ---- counting ------------------------------------------------------------------------------- */

static uint64_t duration(const struct i6300esb *s)
{
    bool fast = s->function.config[ESB_CONFIG] & CONFIG_FAST;
    uint64_t clocks = (uint64_t)s->preload[s->stage] << (fast ? FAST_SHIFT : SLOW_SHIFT);

    return clocks * 1000 / PCI_MHZ;
}

static void start_stage(struct i6300esb *s, uint8_t stage)
{
    lunik_machine *m = lunik_object_machine(lunik_state_object(s));

    if (!s->enabled)
        return;
    s->stage = stage;
    lunik_timer_set(&s->timer, lunik_clock_read(lunik_machine_clock(m)) + duration(s));
}

static void reset(lunik_object *o)
{
    struct i6300esb *s = lunik_state(o);

    lunik_timer_cancel(&s->timer);
    s->preload[0] = s->preload[1] = TIMER_MASK;
    s->stage = s->unlock = s->status = 0;
    s->enabled = false;
    lunik_pci_function_reset(&s->function);
    s->function.writable[ESB_LOCK] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
}

static void bite(struct i6300esb *s)
{
    lunik_object *o = lunik_state_object(s);
    const char *id = lunik_object_id(o);

    lunik_emit_fields(lunik_object_machine(o), "watchdog",
                      (const lunik_field[]){
                          LUNIK_FIELD_STRING("device", *id ? id : lunik_object_path(o)),
                          LUNIK_FIELD_STRING("action", action_names[s->action]),
                      },
                      2);
    s->timed_out = true;
    device_act(o, actions[s->action], "watchdog");
}

static void timer_fired(lunik_timer *timer)
{
    struct i6300esb *s = lunik_container_of(timer, struct i6300esb, timer);
    uint8_t config = s->function.config[ESB_CONFIG];

    if (s->stage == 0) {
        if ((config & CONFIG_INT_MASK) != CONFIG_INT_OFF)
            s->status |= STATUS_EXPIRED;
        start_stage(s, 1);
        return;
    }
    if (!(config & CONFIG_NO_REBOOT)) {
        bite(s);
        reset(lunik_state_object(s));
    } else if (s->function.config[ESB_LOCK] & LOCK_FREE_RUN) {
        start_stage(s, 0);
    }
}

/* ---- registers ------------------------------------------------------------------------------ */

/* The lock bit makes the register read-only until a reset. */
static void config_written(lunik_pci_function *f, unsigned offset, unsigned size)
{
    struct i6300esb *s = lunik_container_of(f, struct i6300esb, function);
    bool enable = f->config[ESB_LOCK] & LOCK_ENABLE;

    if (f->config[ESB_LOCK] & LOCK_LOCKED)
        f->writable[ESB_LOCK] = 0;
    if (enable == s->enabled)
        return;
    s->enabled = enable;
    if (enable)
        start_stage(s, 0);
    else
        lunik_timer_cancel(&s->timer);
}

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct i6300esb *s = opaque;

    switch (offset) {
    case ESB_STATUS:
        *value = s->status;
        break;
    case ESB_RELOAD:
        *value = s->timed_out ? RELOAD_REBOOT | RELOAD_TIMEOUT : 0;
        break;
    default:
        *value = 0;
    }
    return LUNIK_ACCESS_OK;
}

static void write_open(struct i6300esb *s, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case ESB_TIMER1:
    case ESB_TIMER2:
        s->preload[offset / 4] = value & TIMER_MASK;
        break;
    case ESB_STATUS:
        s->status &= (uint8_t)~value;
        break;
    case ESB_RELOAD:
        if (value & RELOAD_NOW)
            start_stage(s, 0);
        if (value & (RELOAD_TIMEOUT | RELOAD_REBOOT))
            s->timed_out = false;
        break;
    }
}

static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i6300esb *s = opaque;
    uint8_t unlock = s->unlock;

    s->unlock = UNLOCK_NONE;
    if (offset == ESB_RELOAD && value == UNLOCK_FIRST)
        s->unlock = UNLOCK_HALF;
    else if (offset == ESB_RELOAD && value == UNLOCK_SECOND && unlock == UNLOCK_HALF)
        s->unlock = UNLOCK_OPEN;
    else if (unlock == UNLOCK_OPEN)
        write_open(s, offset, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {
    .read = read,
    .write = write,
    .valid = {.min = 1, .max = 4},
    .impl = {.min = 1, .max = 4},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct i6300esb *s = lunik_state(o);

    lunik_timer_cancel(&s->timer);
    lunik_pci_device_remove(&s->function);
    device_region_drop(&s->regs);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct i6300esb *s = lunik_state(o);
    int rc;

    lunik_timer_init(&s->timer, lunik_object_machine(o), timer_fired);
    lunik_pci_function_init(&s->function, o, 0x8086, 0x25ab, 0, 0x088000);
    s->function.written = config_written;
    lunik_pci_set_word(s->function.writable, ESB_CONFIG,
                       CONFIG_INT_MASK | CONFIG_FAST | CONFIG_NO_REBOOT);
    s->preload[0] = s->preload[1] = TIMER_MASK;
    s->function.writable[ESB_LOCK] = LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
    rc = pci_registers_init(&s->function, &s->regs, "i6300esb", BAR_SIZE, &ops, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct i6300esb, "auto"),
    LUNIK_PCI_ACPI_INDEX_PROP(struct i6300esb),
    {
        .name = "action",
        .kind = LUNIK_PROP_ENUM,
        .doc = "What the machine does when the guest has not reloaded it: shutdown presses the "
               "power button, poweroff ends the run, debug and none only send the event.",
        .offset = offsetof(struct i6300esb, action),
        .flags = LUNIK_PROP_LIVE,
        .choices = action_names,
    },
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    struct i6300esb *s = state;

    s->function.writable[ESB_LOCK] =
        s->function.config[ESB_LOCK] & LOCK_LOCKED ? 0 : LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct i6300esb, function, &lunik_pci_function_state),
    LUNIK_STATE(struct i6300esb, timer),
    LUNIK_STATE_ARRAY(struct i6300esb, preload, .limit = TIMER_MASK + 1),
    LUNIK_STATE(struct i6300esb, stage, .limit = 2),
    LUNIK_STATE(struct i6300esb, unlock, .limit = UNLOCK_OPEN + 1),
    LUNIK_STATE(struct i6300esb, status),
    LUNIK_STATE(struct i6300esb, enabled),
    LUNIK_STATE(struct i6300esb, timed_out),
    {0},
};

static const lunik_state_table state_table = {
    .name = "i6300esb",
    .version = 1,
    .size = sizeof(struct i6300esb),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type i6300esb_type = {
    .name = "i6300esb",
    .doc = "Watchdog timer of the Intel 6300ESB.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct i6300esb),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .hotplug = "pci",
    .state = &state_table,
};
