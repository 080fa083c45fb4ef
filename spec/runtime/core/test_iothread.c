/*
 * test_iothread.c: iothreads, and a device on one that reads and writes memory while the memory map
 * changes, comes and goes, and is there when its machine is closed.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/machine.h"
#include "core/vcpu_thread.h"

enum { SIZE = 0x10000, HOLE = 0x100000, ROUNDS = 800, DEVICES = 4, MACHINES = 20 };

static lunik_runtime *rt;
static lunik_machine *m;
static lunik_error err;
static _Atomic unsigned wrong;

/* ---- a device ------------------------------------------------------------------------------- */

/* Copies words from one place to another, in a timer and a task that posts itself again. */
struct copier {
    lunik_object *iothread;
    lunik_iothread *thread;
    lunik_dma *dma;
    lunik_task begin, copy, end, gone;
    uv_timer_t timer;
    bool has_timer;
};

static _Atomic unsigned copies, ticks;
static unsigned copiers; /* not gone yet; machine lock */

static struct copier *of_task(lunik_task *task, size_t offset)
{
    return (struct copier *)((char *)task - offset);
}
#define COPIER(task, member) of_task(task, offsetof(struct copier, member))

static void copy(lunik_task *task)
{
    struct copier *c = COPIER(task, copy);
    uint64_t word = 1, again = 2;
    int rc = lunik_dma_read(c->dma, 8, &word, 8);

    if (lunik_locked(rt) || !lunik_iothread_here(c->thread) || rc)
        wrong++;
    rc = lunik_dma_write(c->dma, HOLE + 8, &word, 8);
    if (!rc && (lunik_dma_read(c->dma, HOLE + 8, &again, 8) || again != word) &&
        again != UINT64_MAX)
        wrong++;
    if (rc && rc != LUNIK_E_ACCESS)
        wrong++;
    copies++;
    lunik_iothread_post(c->thread, task);
}

static void tick(uv_timer_t *timer)
{
    struct copier *c = timer->data;

    ticks++;
    if (!lunik_iothread_here(c->thread))
        wrong++;
}

static void begin(lunik_task *task)
{
    struct copier *c = COPIER(task, begin);

    uv_timer_init(lunik_iothread_loop(c->thread), &c->timer);
    c->timer.data = c;
    c->has_timer = true;
    uv_timer_start(&c->timer, tick, 1, 1);
    copy(&c->copy);
}

/* On the runtime's loop. */
static void gone(lunik_task *task)
{
    copiers--;
    lunik_dma_free(COPIER(task, gone)->dma);
    lunik_object_unref(lunik_state_object(COPIER(task, gone)));
}

static void closed(uv_handle_t *timer)
{
    lunik_defer(rt, &((struct copier *)timer->data)->gone);
}

/* On the iothread, or with the machine lock after its end. */
static void end(lunik_task *task)
{
    struct copier *c = COPIER(task, end);

    lunik_iothread_cancel(c->thread, &c->copy);
    if (c->has_timer)
        uv_close((uv_handle_t *)&c->timer, closed);
    else
        lunik_defer(rt, &c->gone);
}

static int realize(lunik_object *o, lunik_error *e)
{
    struct copier *c = lunik_state(o);
    int rc = lunik_dma_new(lunik_machine_memory(lunik_object_machine(o)), &c->dma, e);

    if (rc)
        return rc;
    lunik_dma_enable(c->dma);
    c->thread = lunik_iothread_iface(c->iothread)->thread(c->iothread);
    c->begin.fn = begin;
    c->copy.fn = copy;
    c->end.fn = end;
    c->gone.fn = gone;
    copiers++;
    return lunik_iothread_post(c->thread, &c->begin);
}

static void unrealize(lunik_object *o)
{
    struct copier *c = lunik_state(o);

    lunik_object_ref(o);
    if (lunik_iothread_post(c->thread, &c->end))
        end(&c->end);
}

static const lunik_prop props[] = {
    {.name = "iothread",
     .kind = LUNIK_PROP_LINK,
     .doc = "Its thread.",
     .offset = offsetof(struct copier, iothread),
     .flags = LUNIK_PROP_REQUIRED,
     .link = LUNIK_IFACE_iothread},
    {0},
};

static const lunik_type copier_type = {
    .name = "copier",
    .doc = "Copies words.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct copier),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
};

/* ---- machines ------------------------------------------------------------------------------- */

static lunik_region *new_memory(void)
{
    const lunik_ram_config block = {.name = "ram", .size = SIZE, .fd = -1};
    lunik_region_config config = {.kind = LUNIK_REGION_RAM, .name = "ram"};
    lunik_region *r;

    if (lunik_ram_new(&block, &config.ram, &err) || lunik_region_new(m, &config, &r, &err))
        exit(1);
    lunik_ram_unref(config.ram);
    return r;
}

static void show(lunik_region *r, uint64_t address)
{
    if (lunik_region_add(lunik_space_root(lunik_machine_memory(m)), address, r, 0, false, &err))
        exit(1);
}

static void open_machine(void)
{
    static const lunik_machine_config config = {
        .name = "test", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_region *r;

    if (lunik_machine_new(rt, &config, &m, &err))
        exit(1);
    r = new_memory();
    show(r, 0);
    lunik_region_unref(r);
}

static void add_iothread(const char *id)
{
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", id)};

    if (lunik_object_add(m, "iothread", fields, 1, NULL, &err))
        exit(1);
}

static void add_copier(unsigned i)
{
    const char id[] = {(char)('a' + i), 0};
    const lunik_field fields[] = {LUNIK_FIELD_STRING("id", id),
                                  LUNIK_FIELD_STRING("iothread", "io")};

    if (lunik_device_add(m, "copier", fields, 2, NULL, &err))
        exit(1);
}

static void del_copier(unsigned i)
{
    const char id[] = {(char)('a' + i), 0};

    if (lunik_device_del(m, id, &err))
        exit(1);
}

/* The others have the lock for a while. */
static void give_way(void)
{
    lunik_unlock(rt);
    sched_yield();
    lunik_lock(rt);
    lunik_run(rt, LUNIK_RUN_NOWAIT);
}

/* ---- devices on iothreads ------------------------------------------------------------------- */

static void change_map(unsigned round)
{
    static lunik_region *hole;

    if (hole) {
        lunik_region_del(hole, &err);
        lunik_region_unref(hole);
        hole = NULL;
    } else if (round + 1 < ROUNDS) {
        hole = new_memory();
        show(hole, HOLE);
    }
}

static void test_devices(void)
{
    bool present[DEVICES] = {false};

    open_machine();
    add_iothread("io");
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = round / 8 % DEVICES;

        change_map(round);
        if (round % 8 == 0) {
            if (present[i])
                del_copier(i);
            else
                add_copier(i);
            present[i] = !present[i];
        }
        give_way();
    }
    if (!present[0])
        add_copier(0);
    check_int("an iothread that is used stays", lunik_object_del(m, "io", &err), LUNIK_E_BUSY);
    for (unsigned i = 0; i < DEVICES; i++)
        if (present[i] || !i)
            del_copier(i);
    check_int("one that is not goes, before its last task", lunik_object_del(m, "io", &err), 0);
    while (copiers)
        give_way();
    check_true("devices have copied, and their timers run", copies && ticks);
    check_uint("each access found what was there", wrong, 0);
    lunik_machine_close(m);
}

static void test_closed_with_devices(void)
{
    for (unsigned i = 0; i < MACHINES; i++) {
        unsigned before = copies;

        open_machine();
        add_iothread("io");
        add_copier(0);
        add_copier(1);
        while (i % 2 && copies < before + 4)
            give_way();
        lunik_machine_close(m);
    }
    while (copiers)
        give_way();
    check_uint("machines are closed with devices on iothreads", wrong, 0);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static lunik_iothread *thread;
static _Atomic bool go;
static _Atomic unsigned begun, blocked, counted;

static void block(lunik_task *task)
{
    begun++;
    while (!go)
        sched_yield();
    blocked++;
}

static void count(lunik_task *task)
{
    if (!lunik_iothread_here(thread) || lunik_locked(rt))
        wrong++;
    counted++;
}

static void begin_blocked(lunik_task *task)
{
    go = false;
    begun = blocked = counted = 0;
    if (lunik_iothread_new(m, &thread, &err))
        exit(1);
    *task = (lunik_task){.fn = block};
    check_int("posted", lunik_iothread_post(thread, task), 0);
    while (!begun)
        sched_yield();
}

static void test_tasks(void)
{
    lunik_task blocker, counter = {.fn = count}, cancelled = {.fn = count};

    open_machine();
    begin_blocked(&blocker);
    check_true("not here", !lunik_iothread_here(thread));
    lunik_iothread_post(thread, &counter);
    lunik_iothread_post(thread, &counter);
    lunik_iothread_post(thread, &cancelled);
    check_true("cancelled", lunik_iothread_cancel(thread, &cancelled));
    check_true("once", !lunik_iothread_cancel(thread, &cancelled));
    check_true("what has begun is not", !lunik_iothread_cancel(thread, &blocker));
    go = true;
    lunik_iothread_post(thread, &cancelled);
    lunik_iothread_free(thread);
    lunik_machine_close(m);
    check_uint("called once each", counted, 2);
}

/* The thread is busy: neither wait could end. */
static void test_free(void)
{
    lunik_task blocker, counter = {.fn = count};

    open_machine();
    begin_blocked(&blocker);
    lunik_iothread_post(thread, &counter);
    lunik_iothread_free(thread);
    check_uint("freeing waits for nothing", blocked, 0);
    go = true;
    while (counted < 1)
        sched_yield();
    check_uint("what had been posted is called", blocked, 1);
    while (!LIST_EMPTY(&m->iothreads))
        lunik_run(rt, LUNIK_RUN_NOWAIT);
    lunik_machine_close(m);
}

/* ---- closing -------------------------------------------------------------------------------- */

static int rc_of_new;

static void make_another(lunik_task *task)
{
    lunik_iothread *another;
    lunik_error e;

    begun++;
    lunik_lock(rt); /* the end of the machine must release it for this */
    while (!m->closing) {
        lunik_unlock(rt);
        sched_yield();
        lunik_lock(rt);
    }
    rc_of_new = lunik_iothread_new(m, &another, &e);
    lunik_unlock(rt);
    if (lunik_iothread_post(thread, task) != LUNIK_E_GONE)
        wrong++;
}

static void test_close(void)
{
    lunik_task task = {.fn = make_another};

    open_machine();
    begun = 0;
    if (lunik_iothread_new(m, &thread, &err))
        exit(1);
    lunik_machine_ref(m);
    lunik_iothread_post(thread, &task);
    while (!begun)
        sched_yield();
    lunik_machine_close(m);
    check_int("none can be made while a machine ends", rc_of_new, LUNIK_E_GONE);
    check_int("it has ended with its machine", lunik_iothread_post(thread, &task), LUNIK_E_GONE);
    check_uint("and refused itself before", wrong, 0);
    lunik_iothread_free(thread);
    lunik_machine_unref(m);
}

static void close_here(lunik_task *task)
{
    lunik_lock(rt);
    lunik_machine_close(m);
    lunik_unlock(rt);
    counted++;
}

static void test_close_on_it(void)
{
    lunik_task task = {.fn = close_here};

    open_machine();
    add_iothread("io");
    counted = 0;
    thread = lunik_iothread_iface(lunik_object_find(m, "io"))->thread(lunik_object_find(m, "io"));
    lunik_machine_ref(m);
    lunik_iothread_post(thread, &task);
    while (!counted || lunik_machine_state(m) != LUNIK_STATE_CLOSED)
        give_way();
    check_uint("an iothread can close its machine", counted, 1);
    lunik_machine_unref(m);
}

static void *be_vcpu(void *rc)
{
    lunik_iothread *none;

    vcpu_thread_set((lunik_vcpu *)rc, 0); /* of which only the address counts */
    lunik_lock(rt);
    *(int *)rc = lunik_iothread_new(m, &none, &err);
    lunik_unlock(rt);
    return NULL;
}

static void test_vcpu(void)
{
    pthread_t vcpu;
    int rc = 0;

    open_machine();
    pthread_create(&vcpu, NULL, be_vcpu, &rc);
    lunik_unlock(rt);
    pthread_join(vcpu, NULL);
    lunik_lock(rt);
    check_int("a vCPU's thread makes none", rc, LUNIK_E_STATE);
    lunik_machine_close(m);
}

int main(void)
{
    if (lunik_runtime_new(lunik_builtin_types(), &rt, &err) ||
        lunik_type_add(rt, &copier_type, &err))
        return 1;
    test_tasks();
    test_free();
    test_vcpu();
    test_close();
    test_close_on_it();
    test_devices();
    test_closed_with_devices();
    lunik_runtime_free(rt);
    return check_result();
}
