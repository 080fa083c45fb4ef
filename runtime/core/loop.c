/*
 * loop.c: the runtime, its libuv loop and the machine lock around it.
 *
 * libuv is only ever entered with the machine lock held: lunik_run() lets uv_run() handle what is
 * ready (UV_RUN_NOWAIT), releases the lock, waits on the backend fd itself, and takes the lock
 * again. So a vCPU thread that holds the lock may start and stop handles as well; releasing the
 * lock then wakes the loop, so that libuv notices the new handles.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rcu.h"
#include "misuse.h"
#include "runtime.h"

#define NOT_ON_LOOP  "the calling thread is not the loop thread with the lock held"
#define RUNS_ALREADY "the loop is being run already"

/* ---- lock ----------------------------------------------------------------------------------- */

/* lunik_on_loop_thread() without its check, for the hot path of vCPU exits. */
static bool on_loop(const lunik_runtime *rt)
{
    return rt->loop_thread == pthread_self();
}

/* Whether holding the lock makes the calling thread an RCU reader. The loop thread keeps the lock
 * between calls, so it is a reader only inside runtime_enter(). */
static bool reads_with_lock(const lunik_runtime *rt)
{
    return !on_loop(rt) || rt->calls;
}

static void note_taken(lunik_runtime *rt)
{
    atomic_store_explicit(&rt->owner, pthread_self(), memory_order_relaxed);
    if (reads_with_lock(rt))
        rcu_online();
}

void runtime_enter(lunik_runtime *rt)
{
    if (on_loop(rt) && !rt->calls++)
        rcu_online();
}

void runtime_leave(lunik_runtime *rt)
{
    if (on_loop(rt) && !--rt->calls)
        rcu_offline();
}

void runtime_lock_unpinned(lunik_runtime *rt)
{
    if (lock_try(&rt->lock)) {
        note_taken(rt);
        return;
    }
    rcu_offline();
    lunik_lock(rt);
    rcu_online();
}

void lunik_lock(lunik_runtime *rt)
{
    NOT_NULL(rt);

    if (!lock_try(&rt->lock)) {
        REQUIRE(!lunik_locked(rt), "the calling thread holds the lock already");
        /* The loop thread may hold the lock while an outer loop polls our backend fd: make that
         * readable, so that it runs our loop and yields. */
        if (!on_loop(rt))
            uv_async_send(&rt->wake);
        lock_take(&rt->lock);
    }
    note_taken(rt);
}

void lunik_unlock(lunik_runtime *rt)
{
    NOT_NULL(rt);
    REQUIRE(lunik_locked(rt), "the calling thread does not hold the lock");

    bool wake = rt->touched && !on_loop(rt);

    if (wake)
        rt->touched = false;
    if (reads_with_lock(rt))
        rcu_offline();
    atomic_store_explicit(&rt->owner, 0, memory_order_relaxed);
    lock_release(&rt->lock);
    if (wake)
        uv_async_send(&rt->wake);
}

bool lunik_locked(const lunik_runtime *rt)
{
    NOT_NULL(rt, false);

    return atomic_load_explicit(&rt->owner, memory_order_relaxed) == pthread_self();
}

bool lunik_on_loop_thread(const lunik_runtime *rt)
{
    NOT_NULL(rt, false);

    return on_loop(rt);
}

uv_loop_t *lunik_loop(lunik_runtime *rt)
{
    NOT_NULL(rt, NULL);

    if (!lunik_on_loop_thread(rt))
        rt->touched = true;
    return &rt->loop;
}

/* Adds fd to libuv's epoll set now. libuv would do so when the loop runs next, and abort if that
 * fails; for a descriptor already in the set it only changes the events, which can't fail. */
static int epoll_reserve(uv_loop_t *loop, int fd)
{
    struct epoll_event event = {.data.fd = fd};

    return epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_ADD, fd, &event) && errno != EEXIST ? -errno
                                                                                        : 0;
}

/* Checks that libuv will have memory for a longer table of descriptors, without which it aborts:
 * allocates and frees as much as it will ask for. */
static int table_reserve(unsigned present, int fd)
{
    void *table;

    if ((unsigned)fd < present)
        return 0;
    table = malloc(2 * ((size_t)fd + 3) * sizeof(void *));
    if (!table)
        return UV_ENOMEM;
    free(table);
    return 0;
}

int lunik_poll_start(uv_poll_t *poll, int events, uv_poll_cb fn)
{
    uv_os_fd_t fd = -1;
    int rc = uv_fileno((uv_handle_t *)poll, &fd);

    if (!rc)
        rc = table_reserve(poll->loop->nwatchers, fd);
    if (!rc)
        rc = uv_poll_start(poll, events, fn);
    if (rc)
        return rc;
    rc = epoll_reserve(poll->loop, fd);
    if (rc)
        uv_poll_stop(poll);
    return rc;
}

void runtime_wake(lunik_runtime *rt)
{
    uv_async_send(&rt->wake);
}

/* ---- deferred tasks ------------------------------------------------------------------------- */

void lunik_defer(lunik_runtime *rt, lunik_task *task)
{
    NOT_NULL(rt);
    NOT_NULL(task);

    bool first;

    pthread_mutex_lock(&rt->tasks.mutex);
    first = task_queue_add(&rt->tasks, task);
    pthread_mutex_unlock(&rt->tasks.mutex);
    if (first && !(on_loop(rt) && rt->tasks_next))
        runtime_wake(rt);
}

void lunik_defer_cancel(lunik_runtime *rt, lunik_task *task)
{
    NOT_NULL(rt);
    NOT_NULL(task);

    task_queue_remove(&rt->tasks, task);
}

void tasks_run(lunik_runtime *rt)
{
    if (task_queue_run(&rt->tasks))
        runtime_wake(rt);
}

/* ---- running -------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    tasks_run(lunik_container_of(wake, lunik_runtime, wake));
}

/* Handles what is ready; the lock is held throughout. */
static void handle_ready(lunik_runtime *rt)
{
    bool left;

    runtime_enter(rt);
    rt->depth++;
    rt->tasks_next = true;
    uv_run(&rt->loop, UV_RUN_NOWAIT);
    left = task_queue_run(&rt->tasks);
    rt->tasks_next = false;
    if (left)
        runtime_wake(rt);
    lunik_deliver_events(rt);
    rt->depth--;
    runtime_leave(rt);
}

/* Whether anything besides our own wake handle may still cause a callback. */
static bool more_to_come(const lunik_runtime *rt)
{
    return rt->running || rt->loop.active_handles > 1 || rt->loop.active_reqs.count > 0;
}

static void wait_ready(lunik_runtime *rt, int timeout_ms)
{
    struct pollfd fd = {.fd = uv_backend_fd(&rt->loop), .events = POLLIN};
    int timeout;

    uv_update_time(&rt->loop);
    timeout = lunik_backend_timeout(rt);
    if (timeout_ms >= 0 && (timeout < 0 || timeout > timeout_ms))
        timeout = timeout_ms;
    lunik_unlock(rt);
    poll(&fd, 1, timeout); /* a signal ends it early, which is as good as an event */
    lunik_lock(rt);
}

/* Hands the lock to the threads waiting for it and takes it back. */
static void yield_lock(lunik_runtime *rt)
{
    if (reads_with_lock(rt))
        rcu_offline();
    lock_yield(&rt->lock);
    note_taken(rt);
}

/* Whether libuv has watchers that are not in its epoll set yet, or there for other events: whether
 * its list of those is not empty. The list's head is two pointers, whose names differ between
 * releases of libuv; the first points to the head itself if the list is empty. */
static bool watchers_changed(const lunik_runtime *rt)
{
    const void *first;

    memcpy(&first, &rt->loop.watcher_queue, sizeof(first));
    return first != &rt->loop.watcher_queue;
}

/* Either waits or handles what is ready first, never both: that may have been all there was to
 * wait for. */
bool lunik_run_timeout(lunik_runtime *rt, int timeout_ms)
{
    NOT_NULL(rt, false);
    REQUIRE(on_loop(rt) && lunik_locked(rt), NOT_ON_LOOP, false);
    REQUIRE(!rt->depth, RUNS_ALREADY, false);

    if (timeout_ms != 0 && !watchers_changed(rt) && !atomic_load(&rt->stop)) {
        wait_ready(rt, timeout_ms);
        handle_ready(rt);
    } else {
        handle_ready(rt);
        yield_lock(rt);
    }
    return more_to_come(rt);
}

bool lunik_run(lunik_runtime *rt, lunik_run_mode mode)
{
    NOT_NULL(rt, false);
    REQUIRE(on_loop(rt) && lunik_locked(rt), NOT_ON_LOOP, false);
    REQUIRE(!rt->depth, RUNS_ALREADY, false);

    bool more;

    switch (mode) {
    case LUNIK_RUN_NOWAIT:
        more = lunik_run_timeout(rt, 0);
        break;
    case LUNIK_RUN_ONCE:
        more = lunik_run_timeout(rt, -1);
        break;
    default:
        handle_ready(rt);
        while ((more = more_to_come(rt)) && !atomic_load(&rt->stop)) {
            wait_ready(rt, -1);
            handle_ready(rt);
        }
    }
    atomic_store(&rt->stop, false);
    return more;
}

void lunik_stop(lunik_runtime *rt)
{
    NOT_NULL(rt);

    atomic_store(&rt->stop, true);
    runtime_wake(rt);
}

int lunik_backend_fd(const lunik_runtime *rt)
{
    NOT_NULL(rt, -1);

    return uv_backend_fd(&rt->loop);
}

int lunik_backend_timeout(const lunik_runtime *rt)
{
    NOT_NULL(rt, -1);

    return uv_backend_timeout(&rt->loop);
}

bool lunik_running(const lunik_runtime *rt)
{
    NOT_NULL(rt, false);

    return rt->depth > 0;
}

/* ---- the loop of a runtime ------------------------------------------------------------------- */

/* Opens /dev/null for those of descriptors 0, 1 and 2 that are closed: libuv assumes that none of
 * its own descriptors has such a number. */
static void occupy_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Checks that the descriptors for a loop can be had. The first loop of a process has two pipes, and
 * libuv aborts if it can't make one of them; other loops have one pipe. */
static int loop_reserve(void)
{
    enum { EPOLL_EVENTFD_PIPES = 6 };
    int fds[EPOLL_EVENTFD_PIPES], count = 0, rc = 0;

    while (count < EPOLL_EVENTFD_PIPES && !rc) {
        fds[count] = eventfd(0, EFD_CLOEXEC);
        if (fds[count] < 0)
            rc = -errno;
        else
            rc = table_reserve(0, fds[count++]);
    }
    while (count)
        close(fds[--count]);
    return rc;
}

/* Adds libuv's own descriptors, for signals and for wake-ups by other threads. */
static int reserve_own(uv_loop_t *loop)
{
    int rc = epoll_reserve(loop, loop->signal_io_watcher.fd);

    return rc ? rc : epoll_reserve(loop, loop->async_io_watcher.fd);
}

int loop_make(uv_loop_t *loop, uv_async_t *wake, uv_async_cb fn)
{
    int rc;

    occupy_standard_fds();
    rc = loop_reserve();
    if (!rc)
        rc = uv_loop_init(loop);
    if (rc)
        return -rc;
    rc = reserve_own(loop);
    if (!rc)
        rc = uv_async_init(loop, wake, fn);
    if (rc)
        uv_loop_close(loop);
    return -rc;
}

int loop_init(lunik_runtime *rt, lunik_error *err)
{
    int sys = loop_make(&rt->loop, &rt->wake, on_wake);

    if (sys)
        return lunik_fail_errno(err, sys, "runtime: can't make an event loop");
    fd_table_reserve(uv_backend_fd(&rt->loop));
    return 0;
}

struct type_table *runtime_types(const lunik_runtime *rt)
{
    return rt->types;
}
