/*
 * sigbus.c: handles SIGBUS, which the kernel raises if it can't provide a page of a mapping.
 *
 * The handler finds a guard by address in a list that it may walk at any time: nodes are reused but
 * never freed, and a free node contains no address.
 */
#include "sigbus.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SOME = 64 }; /* guards allocated together */

struct sigbus_guard {
    struct sigbus_guard *next;
    bool used;
    _Atomic uintptr_t first, end;
    uint64_t page_size;
    int prot;
    _Atomic bool damaged;
};

static struct {
    pthread_mutex_t mutex; /* protects the next two, and `used` of all guards */
    unsigned users;
    struct sigaction before;
    _Atomic(struct sigbus_guard *) guards;
} sigbus = {.mutex = PTHREAD_MUTEX_INITIALIZER};

__thread sigjmp_buf *volatile sigbus_escape __attribute__((tls_model("initial-exec")));

/* ---- the handler ---------------------------------------------------------------------------- */

/* Maps a page of zeros in place of one that the host can't provide. */
static bool replace_page(uintptr_t address)
{
    for (struct sigbus_guard *g = atomic_load(&sigbus.guards); g; g = g->next) {
        if (address < atomic_load(&g->first) || address >= atomic_load(&g->end))
            continue;
        atomic_store(&g->damaged, true);
        return mmap((void *)(address & -g->page_size), g->page_size, g->prot,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    if (sigbus_escape)
        siglongjmp(*sigbus_escape, 1);
    if (info->si_code > 0 && replace_page((uintptr_t)info->si_addr))
        return;
    if (sigbus.before.sa_flags & SA_SIGINFO)
        sigbus.before.sa_sigaction(sig, info, context);
    else if (sigbus.before.sa_handler != SIG_DFL && sigbus.before.sa_handler != SIG_IGN)
        sigbus.before.sa_handler(sig);
    else
        signal(sig, SIG_DFL); /* the access is repeated and now ends the process */
}

void sigbus_take(void)
{
    pthread_mutex_lock(&sigbus.mutex);
    if (!sigbus.users++) {
        struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, &sigbus.before);
    }
    pthread_mutex_unlock(&sigbus.mutex);
}

void sigbus_release(void)
{
    struct sigaction now;

    pthread_mutex_lock(&sigbus.mutex);
    if (!--sigbus.users && sigaction(SIGBUS, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
        now.sa_sigaction == on_sigbus) /* else the embedder has installed another handler */
        sigaction(SIGBUS, &sigbus.before, NULL);
    pthread_mutex_unlock(&sigbus.mutex);
}

/* ---- guards --------------------------------------------------------------------------------- */

/* Returns a free guard, allocating some if there is none; NULL: out of memory. Mutex held. */
static struct sigbus_guard *find_free(void)
{
    struct sigbus_guard *g = atomic_load(&sigbus.guards);

    while (g && g->used)
        g = g->next;
    if (g)
        return g;
    g = calloc(SOME, sizeof(*g));
    for (size_t i = 0; g && i < SOME; i++) {
        g[i].next = atomic_load(&sigbus.guards);
        atomic_store(&sigbus.guards, &g[i]);
    }
    return g;
}

struct sigbus_guard *sigbus_guard_new(void *host, uint64_t size, uint64_t page_size, bool readonly)
{
    struct sigbus_guard *g;

    pthread_mutex_lock(&sigbus.mutex);
    g = find_free();
    if (g) {
        g->used = true;
        g->page_size = page_size;
        g->prot = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
        atomic_store(&g->damaged, false);
        atomic_store(&g->first, (uintptr_t)host);
        atomic_store(&g->end, (uintptr_t)host + size);
    }
    pthread_mutex_unlock(&sigbus.mutex);
    if (g)
        sigbus_take();
    return g;
}

void sigbus_guard_free(struct sigbus_guard *g)
{
    if (!g)
        return;
    pthread_mutex_lock(&sigbus.mutex);
    atomic_store(&g->end, 0);
    g->used = false;
    pthread_mutex_unlock(&sigbus.mutex);
    sigbus_release();
}

bool sigbus_damaged(const struct sigbus_guard *g)
{
    return g && atomic_load_explicit(&g->damaged, memory_order_relaxed);
}
