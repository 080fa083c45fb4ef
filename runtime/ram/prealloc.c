/*
 * prealloc.c: makes the host provide every page of a RAM block now.
 *
 * Workers take chunks from a shared cursor, so a slow NUMA node or file system does not leave one
 * worker with all the work. Since Linux 5.14 the kernel populates a chunk in one call. On older
 * kernels a worker touches each page; SIGBUS, which says that there is no page, becomes an error of
 * the thread that caused it.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/machine.h"
#include "ram.h"
#include "core/misuse.h"
#include "sigbus.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define CHUNK_SIZE (UINT64_C(16) << 20)
enum { THREADS_MAX = 256 };

struct prealloc {
    const lunik_ram *ram;
    uint64_t chunk;
    _Atomic uint64_t next; /* offset of the first chunk that no worker has taken */
    _Atomic bool stop;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    uint64_t done;
    unsigned running;
    int sys; /* errno value of the first failure */
    uint64_t failed_at;
};

/* ---- pages ---------------------------------------------------------------------------------- */

static void touch_pages(const lunik_ram *ram, char *from, uint64_t size)
{
    for (uint64_t offset = 0; offset < size; offset += ram->page_size) {
        if (ram->readonly)
            (void)*(volatile char *)(from + offset);
        else
            __atomic_fetch_or(from + offset, 0, __ATOMIC_RELAXED);
    }
}

/* Touches every page without changing its content. Returns 0 or EFAULT. */
static int touch(const lunik_ram *ram, char *from, uint64_t size)
{
    sigjmp_buf escape;

    sigbus_take();
    if (sigsetjmp(escape, 1)) {
        sigbus_escape = NULL;
        sigbus_release();
        return EFAULT;
    }
    sigbus_escape = &escape;
    touch_pages(ram, from, size);
    sigbus_escape = NULL;
    sigbus_release();
    return 0;
}

static int populate(const lunik_ram *ram, char *from, uint64_t size)
{
    int advice = ram->readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;

    while (madvise(from, size, advice)) {
        if (errno == EINVAL || errno == ENOSYS)
            return touch(ram, from, size); /* an older kernel */
        if (errno != EINTR && errno != EAGAIN)
            return errno;
    }
    return 0;
}

/* ---- workers -------------------------------------------------------------------------------- */

static void *worker(void *arg)
{
    struct prealloc *p = arg;
    uint64_t size = p->ram->size;

    while (!p->stop) {
        uint64_t offset = atomic_fetch_add(&p->next, p->chunk);
        if (offset >= size)
            break;
        uint64_t length = size - offset < p->chunk ? size - offset : p->chunk;
        int sys = populate(p->ram, p->ram->host + offset, length);

        pthread_mutex_lock(&p->mutex);
        if (!sys) {
            p->done += length;
        } else if (!p->sys) {
            p->sys = sys;
            p->failed_at = offset;
            p->stop = true;
        }
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_mutex_lock(&p->mutex);
    p->running--;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Starts up to count workers; returns how many there are. They block all signals but SIGBUS and
 * SIGSYS, which the sandbox uses. */
static unsigned start_workers(struct prealloc *p, pthread_t *threads, unsigned count)
{
    sigset_t blocked, before;
    unsigned started = 0;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_mutex_lock(&p->mutex);
    while (started < count && !pthread_create(&threads[started], NULL, worker, p))
        started++;
    p->running = started;
    pthread_mutex_unlock(&p->mutex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* Waits until another hundredth is done; returns false if the workers have ended. */
static bool wait_for_progress(struct prealloc *p, uint64_t reported, uint64_t *done)
{
    uint64_t step = p->ram->size / 100 + 1;
    bool more;

    pthread_mutex_lock(&p->mutex);
    while (p->running && p->done < reported + step)
        pthread_cond_wait(&p->changed, &p->mutex);
    *done = p->done;
    more = p->running > 0;
    pthread_mutex_unlock(&p->mutex);
    return more;
}

static int fail(const struct prealloc *p, lunik_error *err)
{
    const lunik_ram *ram = p->ram;
    const char *why = "the host is out of memory";
    int code = LUNIK_E_NO_MEMORY;

    if (p->sys == EHWPOISON) {
        why = "the host's memory is damaged there";
        code = LUNIK_E_IO;
    } else if (ram->page_size > (uint64_t)sysconf(_SC_PAGESIZE)) {
        why = "the host has too few free huge pages";
    } else if (p->sys == EFAULT && ram->fd >= 0) {
        why = "its file system is full or its file was truncated";
        code = LUNIK_E_NO_SPACE;
    }
    return lunik_fail(err, code,
                      "%s: prealloc: no memory for bytes %" PRIu64 " and up of %" PRIu64 ": %s",
                      ram->name, p->failed_at, ram->size, why);
}

static unsigned worker_count(const lunik_ram *ram, uint64_t chunk, unsigned wanted)
{
    uint64_t chunks = (ram->size + chunk - 1) / chunk;
    unsigned count = wanted < 1 ? 1 : wanted > THREADS_MAX ? THREADS_MAX : wanted;

    return chunks < count ? (unsigned)chunks : count;
}

static int populate_all(lunik_ram *ram, unsigned threads, lunik_runtime *rt,
                        void (*progress)(void *opaque, uint64_t done, uint64_t total), void *opaque,
                        lunik_error *err)
{
    struct prealloc p = {.ram = ram,
                         .chunk = ram->page_size > CHUNK_SIZE ? ram->page_size : CHUNK_SIZE,
                         .mutex = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER};
    unsigned count = worker_count(ram, p.chunk, threads);
    bool unlocked = rt && lunik_locked(rt) && !machines_in_transaction(rt), more = true;
    pthread_t *ids = calloc(count, sizeof(*ids));
    uint64_t reported = 0, done;

    count = ids ? start_workers(&p, ids, count) : 0;
    if (!count) {
        free(ids);
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "%s: prealloc: can't start a worker thread",
                          ram->name);
    }
    if (unlocked)
        lunik_unlock(rt);
    while (more) {
        more = wait_for_progress(&p, reported, &done);
        if (!progress || done == reported)
            continue;
        reported = done;
        if (unlocked)
            lunik_lock(rt);
        progress(opaque, done, ram->size);
        if (unlocked)
            lunik_unlock(rt);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(ids[i], NULL);
    if (unlocked)
        lunik_lock(rt);
    free(ids);
    return p.sys ? fail(&p, err) : 0;
}

static int prealloc_once(lunik_ram *ram, unsigned threads, lunik_runtime *rt,
                         void (*progress)(void *opaque, uint64_t done, uint64_t total),
                         void *opaque, lunik_error *err)
{
    int rc = ram_check_fit(ram, err);

    return rc ? rc : populate_all(ram, threads, rt, progress, opaque, err);
}

int lunik_ram_prealloc(lunik_ram *ram, unsigned threads, lunik_runtime *rt,
                       void (*progress)(void *opaque, uint64_t done, uint64_t total), void *opaque,
                       lunik_error *err)
{
    NOT_NULL_OR_FAIL(ram, err);

    uint64_t since = rcu_reclaimed();
    int rc = prealloc_once(ram, threads, rt, progress, opaque, err);

    if ((rc == LUNIK_E_NO_MEMORY || rc == LUNIK_E_NO_SPACE) && ram_wait_reclaimed(rt, since))
        rc = prealloc_once(ram, threads, rt, progress, opaque, err);
    return rc;
}
