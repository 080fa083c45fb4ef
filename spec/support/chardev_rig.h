/* chardev_rig.h: what the tests of character devices share: a machine without vCPUs, a front end,
 * and a folder for files and sockets. Define _GNU_SOURCE first. */
#ifndef SPEC_CHARDEV_RIG_H
#define SPEC_CHARDEV_RIG_H

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "devices/chardev/chardev.h"
#include "check.h"

static lunik_runtime *rt;
static lunik_machine *machine;
static __attribute__((unused)) char dir[] = "/tmp/lunik-chardev-XXXXXX";
static unsigned errors, connects, disconnects;
static char error_message[200];

static inline void on_event(void *opaque, const lunik_event *event)
{
    if (!strcmp(event->name, "chardev-error")) {
        errors++;
        snprintf(error_message, sizeof(error_message), "%s", event->fields[1].value.string);
    }
    connects += !strcmp(event->name, "chardev-connected");
    disconnects += !strcmp(event->name, "chardev-disconnected");
}

static lunik_event_sub events = {.fn = on_event};

static inline void setup(void)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_error err = {0};

    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_machine_new(rt, &config, &machine, &err)) {
        printf("not ok setup: %s\n", err.message);
        exit(1);
    }
    lunik_event_subscribe(machine, &events);
    errors = connects = disconnects = 0;
}

static inline void teardown(void)
{
    lunik_machine_close(machine);
    lunik_runtime_free(rt);
}

static inline uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Handles events until nothing has happened for a while: true unless it never becomes quiet. */
static inline bool settle(void)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t start = now_ms();

        lunik_run_timeout(rt, 30);
        if (now_ms() - start >= 25)
            return true;
    }
    return false;
}

static inline lunik_object *add(const char *type, const lunik_field *props, size_t count,
                                lunik_error *err)
{
    lunik_field all[8] = {LUNIK_FIELD_STRING("id", "c")};
    lunik_object *o = NULL;

    for (size_t i = 0; i < count; i++)
        all[i + 1] = props[i];
    memset(err, 0, sizeof(*err));
    lunik_object_add(machine, type, all, count + 1, &o, err);
    return o;
}

#define ADD(type, ...)                                                                             \
    add((type), (const lunik_field[]){__VA_ARGS__},                                                \
        sizeof((const lunik_field[]){__VA_ARGS__}) / sizeof(lunik_field), &add_error)
static lunik_error add_error;

/* A front end with a bounded receiver. */
struct front {
    lunik_chardev_front front;
    lunik_object *o;
    const lunik_chardev_ops *ops;
    char got[200000];
    size_t count, room;
    unsigned writable;
};

static inline size_t can_receive(void *opaque)
{
    return ((struct front *)opaque)->room;
}

static inline void receive(void *opaque, const uint8_t *data, size_t size)
{
    struct front *f = opaque;

    check_failures += size > f->room;
    memcpy(f->got + f->count, data, size);
    f->count += size;
    f->room -= size;
}

static inline void writable(void *opaque)
{
    ((struct front *)opaque)->writable++;
}

static __attribute__((unused)) struct front front;

static inline void attach(lunik_object *o, size_t room)
{
    memset(&front, 0, sizeof(front));
    front.front = (lunik_chardev_front){
        .opaque = &front, .can_receive = can_receive, .receive = receive, .writable = writable};
    front.o = o;
    front.ops = lunik_chardev_iface(o);
    front.room = room;
    check_failures += front.ops->attach(o, &front.front, NULL) != 0;
}

static inline void give_room(size_t room)
{
    front.room = room;
    front.ops->accept_input(front.o);
}

static inline size_t put(const char *text)
{
    return front.ops->write(front.o, (const uint8_t *)text, strlen(text));
}

/* Writes until no more is taken, at most limit bytes. */
static inline size_t fill(size_t limit)
{
    static const uint8_t block[4096] = "filling";
    size_t total = 0, n;

    do {
        n = front.ops->write(front.o, block, sizeof(block));
        total += n;
    } while (n == sizeof(block) && total < limit);
    return total;
}

static inline uint64_t get(const char *name)
{
    lunik_value v = {0};

    lunik_object_get(front.o, name, &v, NULL);
    return v.kind == LUNIK_BOOL ? v.boolean : v.uint;
}

static inline void delete (void)
{
    lunik_error err = {0};

    front.ops->attach(front.o, NULL, NULL);
    check_int("delete", lunik_object_del(machine, "c", &err), 0);
}

static inline const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static inline const char *slurp(int fd)
{
    static char text[100000];
    ssize_t n = read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static inline const char *slurp_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    const char *text = slurp(fd);

    close(fd);
    return text;
}

#endif
