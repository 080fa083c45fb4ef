/* i8042_chip.c: see i8042_chip.h. */
#include <string.h>

#include "i8042_chip.h"
#include "i8042_regs.h"

/* ---- queues --------------------------------------------------------------------------------- */

/* Drops the answer if the queue is full: the guest does not read. */
static void queue_put(struct i8042_queue *q, uint16_t value)
{
    if (q->count < I8042_QUEUE)
        q->data[(q->head + q->count++) % I8042_QUEUE] = value;
}

static uint16_t queue_take(struct i8042_queue *q)
{
    uint16_t value = q->data[q->head];

    q->head = (q->head + 1) % I8042_QUEUE;
    q->count--;
    return value;
}

/* ---- output buffer -------------------------------------------------------------------------- */

static void update_lines(struct i8042_chip *c)
{
    bool full = c->status & STATUS_FULL, mouse = c->status & STATUS_MOUSE;

    lunik_irq_set(&c->keyboard_irq, full && !mouse && (c->ram[0] & CB_KEYBOARD_IRQ));
    lunik_irq_set(&c->mouse_irq, full && mouse && (c->ram[0] & CB_MOUSE_IRQ));
}

/* Puts a byte into the output buffer, which is empty. */
static void put_output(struct i8042_chip *c, uint8_t value, bool mouse)
{
    c->output = value;
    c->status |= STATUS_FULL | (mouse ? STATUS_MOUSE : 0);
    update_lines(c);
}

/* Moves the next byte into the output buffer if that is empty: the controller's, or that of a
 * device that may transmit. */
static void transmit(struct i8042_chip *c)
{
    uint16_t answer;

    if (c->status & STATUS_FULL)
        return;
    if (c->answers.count) {
        answer = queue_take(&c->answers);
        put_output(c, (uint8_t)answer, answer & AS_MOUSE);
    } else if (c->keyboard.queue.count && !(c->ram[0] & CB_KEYBOARD_OFF)) {
        c->keyboard.last = (uint8_t)queue_take(&c->keyboard.queue);
        put_output(c, c->keyboard.last, false);
    } else if (c->mouse.queue.count && !(c->ram[0] & CB_MOUSE_OFF)) {
        c->mouse.last = (uint8_t)queue_take(&c->mouse.queue);
        put_output(c, c->mouse.last, true);
    }
}

/* ---- keyboard ------------------------------------------------------------------------------- */

static void keyboard_defaults(struct i8042_keyboard *k)
{
    memset(k, 0, sizeof(*k));
    k->scancode_set = 2;
}

static void keyboard_parameter(struct i8042_keyboard *k, uint8_t value)
{
    uint8_t command = k->pending;

    k->pending = 0;
    queue_put(&k->queue, ANSWER_ACK);
    if (command != DEV_SCANCODE_SET)
        return;
    if (value == 0)
        queue_put(&k->queue, k->scancode_set);
    else if (value <= 3)
        k->scancode_set = value;
}

static void keyboard_command(struct i8042_chip *c, uint8_t value)
{
    struct i8042_keyboard *k = &c->keyboard;
    uint8_t last = k->last;

    if (k->pending) {
        keyboard_parameter(k, value);
        return;
    }
    k->queue.count = 0; /* a command ends the answer to the one before */
    switch (value) {
    case DEV_ECHO:
        queue_put(&k->queue, DEV_ECHO);
        break;
    case DEV_RESEND:
        queue_put(&k->queue, last);
        break;
    case DEV_SET_LEDS:
    case DEV_SCANCODE_SET:
    case DEV_RATE:
        k->pending = value;
        queue_put(&k->queue, ANSWER_ACK);
        break;
    case DEV_IDENTIFY:
        queue_put(&k->queue, ANSWER_ACK);
        queue_put(&k->queue, KEYBOARD_ID_1);
        queue_put(&k->queue, c->ram[0] & CB_TRANSLATE ? KEYBOARD_ID_2_TRANSLATED : KEYBOARD_ID_2);
        break;
    case DEV_DISABLE:
    case DEV_DEFAULTS:
        keyboard_defaults(k);
        queue_put(&k->queue, ANSWER_ACK);
        break;
    case DEV_RESET:
        keyboard_defaults(k);
        queue_put(&k->queue, ANSWER_ACK);
        queue_put(&k->queue, ANSWER_PASSED);
        break;
    default:
        if (value == DEV_ENABLE || (value >= DEV_ALL_KEYS && value < DEV_RESEND))
            queue_put(&k->queue, ANSWER_ACK);
        else
            queue_put(&k->queue, ANSWER_RESEND);
    }
}

/* ---- mouse ---------------------------------------------------------------------------------- */

static void mouse_defaults(struct i8042_mouse *m)
{
    memset(m, 0, sizeof(*m));
    m->resolution = 2; /* 4 counts a millimetre */
    m->rate = 100;     /* a second */
}

static void mouse_parameter(struct i8042_mouse *m, uint8_t value)
{
    if (m->pending == DEV_RATE)
        m->rate = value;
    else
        m->resolution = value & 3;
    m->pending = 0;
    queue_put(&m->queue, ANSWER_ACK);
}

static void mouse_status(struct i8042_mouse *m)
{
    queue_put(&m->queue,
              (m->remote ? 0x40 : 0) | (m->enabled ? 0x20 : 0) | (m->scaling ? 0x10 : 0));
    queue_put(&m->queue, m->resolution);
    queue_put(&m->queue, m->rate);
}

/* Sends a movement packet: no button, no movement. */
static void mouse_packet(struct i8042_mouse *m)
{
    queue_put(&m->queue, 0x08); /* always set */
    queue_put(&m->queue, 0);
    queue_put(&m->queue, 0);
}

/* Executes a command that has an effect, or an answer beyond the acknowledgement; returns false if
 * it is unknown. */
static bool mouse_execute(struct i8042_mouse *m, uint8_t value)
{
    switch (value) {
    case MOUSE_SCALE_1:
    case MOUSE_SCALE_2:
        m->scaling = value == MOUSE_SCALE_2;
        return true;
    case MOUSE_RESOLUTION:
    case DEV_RATE:
        m->pending = value;
        return true;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        m->remote = value == MOUSE_REMOTE;
        return true;
    case MOUSE_WRAP:
    case MOUSE_UNWRAP:
        m->wrap = value == MOUSE_WRAP;
        return true;
    case DEV_ENABLE:
    case DEV_DISABLE:
        m->enabled = value == DEV_ENABLE;
        return true;
    default:
        return value == MOUSE_STATUS || value == MOUSE_READ || value == DEV_IDENTIFY;
    }
}

static void mouse_command(struct i8042_mouse *m, uint8_t value)
{
    uint8_t last = m->last;

    if (m->wrap && value != DEV_RESET && value != MOUSE_UNWRAP) {
        queue_put(&m->queue, value);
        return;
    }
    if (m->pending) {
        mouse_parameter(m, value);
        return;
    }
    m->queue.count = 0;
    if (value == DEV_RESEND) {
        queue_put(&m->queue, last);
        return;
    }
    if (value == DEV_RESET || value == DEV_DEFAULTS)
        mouse_defaults(m);
    else if (!mouse_execute(m, value)) {
        queue_put(&m->queue, ANSWER_RESEND);
        return;
    }
    queue_put(&m->queue, ANSWER_ACK);
    if (value == DEV_RESET)
        queue_put(&m->queue, ANSWER_PASSED);
    if (value == DEV_RESET || value == DEV_IDENTIFY)
        queue_put(&m->queue, MOUSE_ID);
    if (value == MOUSE_STATUS)
        mouse_status(m);
    if (value == MOUSE_READ)
        mouse_packet(m);
}

/* ---- controller ----------------------------------------------------------------------------- */

/* Returns the value of the output port, which shows the buffer full flags. */
static uint8_t read_output_port(const struct i8042_chip *c)
{
    bool full = c->status & STATUS_FULL, mouse = c->status & STATUS_MOUSE;

    return c->output_port | (full && !mouse ? 0x10 : 0) | (full && mouse ? 0x20 : 0);
}

static void write_output_port(struct i8042_chip *c, uint8_t value)
{
    c->output_port = value & (OUTPUT_RESET | OUTPUT_A20);
    if (!(value & OUTPUT_RESET))
        c->reset_line(c->opaque);
}

static void set_command_byte(struct i8042_chip *c, uint8_t value)
{
    c->ram[0] = value;
    c->status = (c->status & ~STATUS_SYSTEM) | (value & CB_SYSTEM ? STATUS_SYSTEM : 0);
    update_lines(c);
}

/* Answers a command that only produces a byte; returns false for others. */
static bool query(struct i8042_chip *c, uint8_t command)
{
    uint8_t answer;

    switch (command) {
    case CMD_TEST_MOUSE:
    case CMD_TEST_KEYBOARD:
    case CMD_READ_TEST:
        answer = TEST_PASSED;
        break;
    case CMD_READ_INPUT_PORT:
        answer = INPUT_PORT;
        break;
    case CMD_READ_OUTPUT_PORT:
        answer = read_output_port(c);
        break;
    default:
        if (command < CMD_READ_RAM || command >= CMD_READ_RAM + I8042_RAM)
            return false;
        answer = c->ram[command - CMD_READ_RAM];
    }
    queue_put(&c->answers, answer);
    return true;
}

static void execute(struct i8042_chip *c, uint8_t command)
{
    switch (command) {
    case CMD_SELF_TEST:
        set_command_byte(c, c->ram[0] | CB_SYSTEM);
        queue_put(&c->answers, SELF_TEST_PASSED);
        break;
    case CMD_MOUSE_OFF:
        set_command_byte(c, c->ram[0] | CB_MOUSE_OFF);
        break;
    case CMD_MOUSE_ON:
        set_command_byte(c, c->ram[0] & ~CB_MOUSE_OFF);
        break;
    case CMD_KEYBOARD_OFF:
        set_command_byte(c, c->ram[0] | CB_KEYBOARD_OFF);
        break;
    case CMD_KEYBOARD_ON:
        set_command_byte(c, c->ram[0] & ~CB_KEYBOARD_OFF);
        break;
    case CMD_A20_OFF:
        c->output_port &= ~OUTPUT_A20;
        break;
    case CMD_A20_ON:
        c->output_port |= OUTPUT_A20;
        break;
    case CMD_WRITE_OUTPUT_PORT:
    case CMD_LOOP_KEYBOARD:
    case CMD_LOOP_MOUSE:
    case CMD_WRITE_MOUSE:
        c->pending = command;
        break;
    default:
        if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + I8042_RAM)
            c->pending = command;
        else if (command >= CMD_PULSE && !(command & OUTPUT_RESET))
            c->reset_line(c->opaque);
    }
}

/* Executes a command that waited for its data byte. */
static void execute_with(struct i8042_chip *c, uint8_t command, uint8_t value)
{
    switch (command) {
    case CMD_WRITE_OUTPUT_PORT:
        write_output_port(c, value);
        break;
    case CMD_LOOP_KEYBOARD:
    case CMD_LOOP_MOUSE:
        queue_put(&c->answers, command == CMD_LOOP_MOUSE ? value | AS_MOUSE : value);
        break;
    case CMD_WRITE_MOUSE:
        c->ram[0] &= ~CB_MOUSE_OFF; /* talking to a device releases its clock line */
        mouse_command(&c->mouse, value);
        break;
    case CMD_WRITE_RAM:
        set_command_byte(c, value);
        break;
    default:
        c->ram[command - CMD_WRITE_RAM] = value;
    }
}

/* ---- ports ---------------------------------------------------------------------------------- */

static uint8_t read_data(struct i8042_chip *c)
{
    uint8_t value = c->output;

    c->status &= ~(STATUS_FULL | STATUS_MOUSE);
    update_lines(c);
    transmit(c);
    return value;
}

static void write_data(struct i8042_chip *c, uint8_t value)
{
    uint8_t command = c->pending;

    c->status &= ~STATUS_COMMAND;
    c->pending = 0;
    if (command) {
        execute_with(c, command, value);
    } else {
        c->ram[0] &= ~CB_KEYBOARD_OFF;
        keyboard_command(c, value);
    }
    transmit(c);
}

static void write_command(struct i8042_chip *c, uint8_t value)
{
    c->status |= STATUS_COMMAND;
    c->pending = 0;
    if (!query(c, value))
        execute(c, value);
    transmit(c);
}

uint8_t i8042_read(struct i8042_chip *c, enum i8042_port port)
{
    return port == I8042_DATA ? read_data(c) : c->status;
}

void i8042_write(struct i8042_chip *c, enum i8042_port port, uint8_t value)
{
    if (port == I8042_DATA)
        write_data(c, value);
    else
        write_command(c, value);
}

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field queue_fields[] = {
    LUNIK_STATE_ARRAY(struct i8042_queue, data, .limit = 2 * AS_MOUSE),
    LUNIK_STATE(struct i8042_queue, head, .limit = I8042_QUEUE),
    LUNIK_STATE(struct i8042_queue, count, .limit = I8042_QUEUE + 1),
    {0},
};

static const lunik_state_table queue_table = {
    .name = "queue",
    .version = 1,
    .size = sizeof(struct i8042_queue),
    .fields = queue_fields,
};

/* Whether a byte is expected for the command: execute_with() takes no other. */
static bool takes_byte(uint8_t command)
{
    switch (command) {
    case 0:
    case CMD_WRITE_OUTPUT_PORT:
    case CMD_LOOP_KEYBOARD:
    case CMD_LOOP_MOUSE:
    case CMD_WRITE_MOUSE:
        return true;
    default:
        return command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + I8042_RAM;
    }
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct i8042_chip *c = staged;

    if (!takes_byte(c->pending))
        return lunik_fail(err, LUNIK_E_INVALID, "pending: 0x%02x is no command that takes a byte",
                          c->pending);
    return 0;
}

static void loaded(void *state)
{
    update_lines(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_ARRAY(struct i8042_chip, ram),
    LUNIK_STATE(struct i8042_chip, status),
    LUNIK_STATE(struct i8042_chip, output),
    LUNIK_STATE(struct i8042_chip, output_port),
    LUNIK_STATE(struct i8042_chip, pending),
    LUNIK_STATE_STRUCT(struct i8042_chip, answers, &queue_table),
    LUNIK_STATE_STRUCT(struct i8042_chip, keyboard.queue, &queue_table),
    LUNIK_STATE(struct i8042_chip, keyboard.pending),
    LUNIK_STATE(struct i8042_chip, keyboard.last),
    LUNIK_STATE(struct i8042_chip, keyboard.scancode_set),
    LUNIK_STATE_STRUCT(struct i8042_chip, mouse.queue, &queue_table),
    LUNIK_STATE(struct i8042_chip, mouse.pending),
    LUNIK_STATE(struct i8042_chip, mouse.last),
    LUNIK_STATE(struct i8042_chip, mouse.resolution),
    LUNIK_STATE(struct i8042_chip, mouse.rate),
    LUNIK_STATE(struct i8042_chip, mouse.scaling),
    LUNIK_STATE(struct i8042_chip, mouse.remote),
    LUNIK_STATE(struct i8042_chip, mouse.enabled),
    LUNIK_STATE(struct i8042_chip, mouse.wrap),
    {0},
};

const lunik_state_table i8042_chip_state = {
    .name = "chip",
    .version = 1,
    .size = sizeof(struct i8042_chip),
    .fields = state_fields,
    .post_load = post_load,
    .loaded = loaded,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

void i8042_reset(struct i8042_chip *c)
{
    memset(c->ram, 0, sizeof(c->ram));
    c->ram[0] = CB_KEYBOARD_IRQ | CB_MOUSE_IRQ | CB_SYSTEM | CB_TRANSLATE;
    c->status = STATUS_SYSTEM | STATUS_UNLOCKED;
    c->output = 0;
    c->output_port = OUTPUT_RESET | OUTPUT_A20;
    c->pending = 0;
    c->answers.count = 0;
    keyboard_defaults(&c->keyboard);
    mouse_defaults(&c->mouse);
    update_lines(c);
}

void i8042_init(struct i8042_chip *c, void (*reset_line)(void *opaque), void *opaque)
{
    memset(c, 0, sizeof(*c));
    c->reset_line = reset_line;
    c->opaque = opaque;
    i8042_reset(c);
}
