/*
 * test_runtime_faults.c: a runtime is made where the host has nothing left: no descriptors, no
 * watches, no memory. Either there is a clear error, nothing leaks and a runtime can be made
 * afterwards, or it works; libuv, which ends the process if it does not get some of these, does not
 * get to ask.
 *
 * Each attempt is the first of its process, since libuv sets up some things once.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunik.h"
#include "check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

enum { FAILED_CLEANLY = 10, WORKED, UNCLEAR, LEAKED, NOT_AGAIN, FOREIGN_KEY };

/* ---- attempts ------------------------------------------------------------------------------- */

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The resource that is short, and how much of it is left. */
struct shortage {
    void (*begin)(unsigned left);
    void (*end)(void);
};

/* In a process of its own: makes a runtime while something is short, then another one. */
static int attempt(const struct shortage *s, unsigned left)
{
    lunik_runtime *rt = NULL;
    lunik_error err = {0};
    int before = count_descriptors(), rc;

    s->begin(left);
    rc = lunik_runtime_new(lunik_builtin_types(), &rt, &err);
    if (!rc)
        lunik_run_timeout(rt, 0);
    s->end();
    if (rc && strncmp(err.message, "runtime: ", 9) != 0 && !strstr(err.message, ": out of memory"))
        return UNCLEAR;
    /* but for the pipe that libuv keeps for good */
    if (rc && count_descriptors() > before + 2)
        return LEAKED;
    if (rc && lunik_runtime_new(lunik_builtin_types(), &rt, &err))
        return NOT_AGAIN;
    lunik_run_timeout(rt, 0);
    lunik_runtime_free(rt);
    return rc ? FAILED_CLEANLY : WORKED;
}

static int attempt_apart(const struct shortage *s, unsigned left)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(attempt(s, left));
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* With nothing left, one unit left and so on. */
static void walk(const char *name, const struct shortage *s, unsigned most)
{
    unsigned failed = 0, worked = 0;

    for (unsigned left = 0; left < most; left++) {
        int outcome = attempt_apart(s, left);

        failed += outcome == FAILED_CLEANLY;
        worked += outcome == WORKED;
        if (outcome == FAILED_CLEANLY || outcome == WORKED)
            continue;
        printf("# %s, %u left: %d\n", name, left, outcome);
        check_failures++;
    }
    check_true(name, failed + worked == most);
    check_true("some attempts failed", failed > 0);
    check_true("some did not", worked > 0);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static struct rlimit before;

static void limit(int resource, rlim_t value)
{
    getrlimit((__rlimit_resource_t)resource, &before);
    setrlimit((__rlimit_resource_t)resource, &(struct rlimit){value, before.rlim_max});
}

static void limit_descriptors(unsigned left)
{
    int lowest = dup(0);

    close(lowest);
    limit(RLIMIT_NOFILE, (rlim_t)lowest + left);
}

static void free_descriptors(void)
{
    setrlimit(RLIMIT_NOFILE, &before);
}

/* ---- watches -------------------------------------------------------------------------------- */

static unsigned watches = UINT32_MAX;

static void limit_watches(unsigned left)
{
    watches = left;
}

static void free_watches(void)
{
    watches = UINT32_MAX;
}

/* Takes the place of libc's, for libuv as well. The kernel looks for room only when a descriptor is
 * added that is not there yet. */
#pragma GCC visibility push(default)
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    __typeof__(&epoll_ctl) real = (__typeof__(&epoll_ctl))dlsym(RTLD_NEXT, "epoll_ctl");
    int rc = real(epfd, op, fd, event);

    if (rc || op != EPOLL_CTL_ADD)
        return rc;
    if (watches) {
        watches--;
        return 0;
    }
    real(epfd, EPOLL_CTL_DEL, fd, NULL);
    errno = ENOSPC;
    return -1;
}
#pragma GCC visibility pop

/* ---- memory --------------------------------------------------------------------------------- */

enum { MEMORY_UNIT = 64 };

static struct block {
    struct block *next;
} * taken;

/* Takes all the memory that can be had in pieces of that size. */
static void take_all(size_t size)
{
    struct block *b;

    while ((b = malloc(size))) {
        b->next = taken;
        taken = b;
    }
}

static void limit_memory(unsigned left)
{
    void *volatile kept = malloc((size_t)left * MEMORY_UNIT + 1);

    limit(RLIMIT_AS, 64u << 20);
    for (size_t size = 1 << 16; size >= sizeof(struct block); size /= 4)
        take_all(size);
    free(kept);
}

static void free_memory(void)
{
    setrlimit(RLIMIT_AS, &before);
    while (taken) {
        struct block *b = taken;

        taken = b->next;
        free(b);
    }
}

/* ---- keys of thread-specific data ----------------------------------------------------------- */

static pthread_key_t keys[PTHREAD_KEYS_MAX];
static unsigned key_count;

static void take_keys(unsigned left)
{
    while (!pthread_key_create(&keys[key_count], NULL))
        pthread_setspecific(keys[key_count++], keys);
    for (unsigned i = 0; i < left; i++)
        pthread_key_delete(keys[--key_count]);
}

static void check_keys(void)
{
    for (unsigned i = 0; i < key_count; i++)
        if (pthread_getspecific(keys[i]) != keys)
            _exit(FOREIGN_KEY);
}

int main(void)
{
    walk("descriptors", &(struct shortage){limit_descriptors, free_descriptors}, 10);
    for (unsigned left = 0; left < 2; left++)
        check_int("keys", attempt_apart(&(struct shortage){take_keys, check_keys}, left), WORKED);
    walk("watches", &(struct shortage){limit_watches, free_watches}, 5);
    if (SANITIZED)
        check_skip("memory", "a sanitizer needs it all");
    else
        walk("memory", &(struct shortage){limit_memory, free_memory}, 640);
    return check_result();
}
