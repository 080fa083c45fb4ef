/*
 * net.c: two guests on one network. One answers: reports that it is ready, echoes frames, counts
 * others, and sends how many came. The other one measures, and reports for each load its name, the
 * ticks, the frames that arrived, those that were sent, and the doorbells.
 */
#include "guest.h"

#define F_MAC (1u << 5)

#define RECEIVE  0 /* queues */
#define TRANSMIT 1

#define HEADER    12 /* of virtio, before each frame */
#define FRAME_MAX 1514
#define FRAME_MIN 60
#define SLOT      2048
#define SLOTS     128    /* buffers of each queue */
#define ETHERTYPE 0xb588 /* for local experiments: 88b5 */

#define SYNC_TICKS (1ull << 26) /* before a frame is counted as lost */

enum kind { KIND_ECHO, KIND_DATA, KIND_COUNT };

struct frame {
    uint8_t header[HEADER];
    uint8_t to[6], from[6];
    uint16_t ethertype, kind;
    uint64_t number;
} __attribute__((packed));

static struct queue receive, transmit;
static uint8_t mac[6];
static unsigned unsent[SLOTS], unsent_count; /* slots of transmit that are free */

static struct frame *buffer(unsigned queue, unsigned slot)
{
    return (struct frame *)(uintptr_t)(BUFFERS + (uint64_t)(queue * SLOTS + slot) * SLOT);
}

static void prepare(struct queue *q, unsigned slot, uint32_t length)
{
    *queue_descriptor(q, slot) = (struct descriptor){(uintptr_t)buffer(q->index, slot), length,
                                                     q->index == RECEIVE ? QUEUE_WRITE : 0, 0};
    queue_add(q, slot);
}

static void setup(struct device *d)
{
    device_negotiate(d, F_MAC);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = d->config[i];
    device_queue(d, RECEIVE, &receive);
    device_queue(d, TRANSMIT, &transmit);
    if (receive.size < SLOTS || transmit.size < SLOTS)
        fail();
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        prepare(&receive, slot, SLOT);
        unsent[unsent_count++] = slot;
    }
    device_start(d);
    queue_publish(&receive);
}

/* Takes back what the device has sent. */
static void reclaim(void)
{
    uint32_t length;

    while (unsent_count < SLOTS && queue_take(&transmit, &unsent[unsent_count], &length))
        unsent_count++;
}

static void send(enum kind kind, uint64_t number, uint32_t size)
{
    unsigned slot;
    struct frame *f;

    for (reclaim(); !unsent_count; reclaim())
        __builtin_ia32_pause();
    slot = unsent[--unsent_count];
    f = buffer(TRANSMIT, slot);
    for (unsigned i = 0; i < HEADER; i++)
        f->header[i] = 0;
    for (unsigned i = 0; i < 6; i++) {
        f->to[i] = 0xff;
        f->from[i] = mac[i];
    }
    f->ethertype = ETHERTYPE;
    f->kind = (uint16_t)kind;
    f->number = number;
    prepare(&transmit, slot, HEADER + size);
    queue_publish(&transmit);
}

/* Takes a frame of ours that has come; false: there is none. */
static bool take(struct frame *f)
{
    unsigned slot;
    uint32_t length;
    bool ours;

    if (!queue_take(&receive, &slot, &length))
        return false;
    *f = *buffer(RECEIVE, slot);
    ours = f->ethertype == ETHERTYPE && length >= HEADER + FRAME_MIN;
    prepare(&receive, slot, SLOT);
    queue_publish(&receive);
    return ours;
}

/* ---- the guest that answers ----------------------------------------------------------------- */

static void answer(void)
{
    uint64_t count = 0;
    struct frame f;

    report("ready", 0, 0);
    for (;;) {
        if (!take(&f))
            __builtin_ia32_pause();
        else if (f.kind == KIND_ECHO)
            send(KIND_ECHO, f.number, FRAME_MIN);
        else if (f.kind == KIND_DATA)
            count++;
        else {
            send(KIND_COUNT, count, FRAME_MIN);
            count = 0;
        }
    }
}

/* ---- the guest that measures ---------------------------------------------------------------- */

/* Waits for an answer of that kind; false: it is late. */
static bool await(enum kind kind, struct frame *f)
{
    uint64_t end = now() + SYNC_TICKS;

    while (now() < end)
        if (take(f) && f->kind == kind)
            return true;
    return false;
}

static void echo(const char *name, uint64_t pause)
{
    uint64_t end = now() + RUN_TICKS, time = 0, count = 0, sent = 0, kicks = transmit.kicks;
    struct frame f;

    for (uint64_t start = now(); start < end; start = now()) {
        while (now() < start + pause)
            __builtin_ia32_pause();
        start = now();
        send(KIND_ECHO, ++sent, FRAME_MIN);
        if (!await(KIND_ECHO, &f))
            continue;
        time += now() - start;
        count++;
    }
    report(name, (uint64_t[]){time, count, sent, transmit.kicks - kicks}, 4);
}

static void stream(const char *name, uint32_t size)
{
    uint64_t start = now(), sent = 0, kicks = transmit.kicks, time;
    struct frame f;

    while (now() < start + RUN_TICKS) {
        send(KIND_DATA, sent++, size);
        take(&f);
    }
    do
        send(KIND_COUNT, 0, FRAME_MIN);
    while (!await(KIND_COUNT, &f));
    time = now() - start;
    report(name, (uint64_t[]){time, f.number, sent, transmit.kicks - kicks}, 4);
}

static void measure(void)
{
    struct frame f;

    do
        send(KIND_ECHO, 0, FRAME_MIN);
    while (!await(KIND_ECHO, &f));
    for (unsigned run = 0; run < RUNS; run++) {
        echo("echo-t", PAUSE_TICKS);
        echo("echo", 0);
        stream("stream-60", FRAME_MIN);
        stream("stream-1514", FRAME_MAX);
    }
}

void measure_network(struct device *d)
{
    setup(d);
    if (mac[5] & 1)
        answer();
    measure();
}
