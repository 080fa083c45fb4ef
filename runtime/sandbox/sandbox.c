/*
 * sandbox.c: restricts the process to what it needs.
 *
 * Landlock's rules and capabilities belong to a thread and can only be set by itself. So the
 * sandbox is entered while there are only the caller, RCU's reclaimers, which restrict themselves
 * in a deferred call, and the threads for devices, which stand still and restrict themselves when
 * asked (own_thread.h). Later threads inherit the restrictions. The seccomp filter comes last,
 * because it forbids the other steps.
 */
#define _GNU_SOURCE /* setresuid, gettid */
#include "ram/cgroup.h"
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "lunik_device.h"
#include "core/confinement.h"
#include "core/own_thread.h"
#include "core/rcu.h"

#if defined(__SANITIZE_ADDRESS__) || defined(RUNTIME_TSAN)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* ThreadSanitizer has a thread of its own, which runs no code of the runtime. */
#ifdef RUNTIME_TSAN
enum { FOREIGN_THREADS = 1 };
#else
enum { FOREIGN_THREADS = 0 };
#endif

enum { STOP_MS = 1000 }; /* for the runtime's own threads to stand still */

/* A process has one sandbox. */
static pthread_mutex_t entering = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned entered; /* groups that are allowed | SANDBOX_ENGINE; 0: not entered */

/* A sandbox that is about to be entered. */
struct sandbox {
    unsigned allow;
    uint64_t capabilities;
    bool changes_user, changes_group;
    uid_t uid;
    gid_t gid;
    int rules; /* Landlock's domain, or -1 */
};

bool lunik_sandboxed(unsigned *allow)
{
    unsigned now = atomic_load_explicit(&entered, memory_order_acquire);

    if (allow)
        *allow = now & ~(unsigned)SANDBOX_ENGINE;
    return now != 0;
}

bool lunik_sanitized(void)
{
    return SANITIZED;
}

/* ---- reading the policy --------------------------------------------------------------------- */

/* Parses a user or group number; returns -1 if text is not one. */
static long parse_id(const char *text)
{
    char *end;
    long id;

    errno = 0;
    id = strtol(text, &end, 10);
    return errno || end == text || *end || id < 0 || id >= UINT32_MAX ? -1 : id;
}

static int find_user(struct sandbox *s, const char *name, lunik_error *err)
{
    char buffer[4096];
    struct passwd entry, *found = NULL;
    long id = parse_id(name);

    if (id >= 0)
        getpwuid_r((uid_t)id, &entry, buffer, sizeof(buffer), &found);
    else
        getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
    if (!found && id < 0)
        return lunik_fail(err, LUNIK_E_INVALID, "sandbox: user: '%s' is not a user of this host",
                          name);
    s->changes_user = s->changes_group = true;
    s->uid = found ? found->pw_uid : (uid_t)id;
    s->gid = found ? found->pw_gid : (gid_t)id;
    return 0;
}

static int find_group(struct sandbox *s, const char *name, lunik_error *err)
{
    char buffer[4096];
    struct group entry, *found = NULL;
    long id = parse_id(name);

    if (id < 0 && (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) || !found))
        return lunik_fail(err, LUNIK_E_INVALID, "sandbox: group: '%s' is not a group of this host",
                          name);
    s->changes_group = true;
    s->gid = found ? found->gr_gid : (gid_t)id;
    return 0;
}

static uint64_t capability(unsigned number)
{
    return UINT64_C(1) << number;
}

/* Returns the capabilities to keep. Without those for files, root could not open files of other
 * users, which the policy may allow. */
static uint64_t capabilities_for(unsigned allow)
{
    uint64_t kept = capability(CAP_IPC_LOCK);

    if (allow & (LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_PATHS))
        kept |=
            capability(CAP_DAC_OVERRIDE) | capability(CAP_DAC_READ_SEARCH) | capability(CAP_FOWNER);
    if (allow & LUNIK_SANDBOX_FILES)
        kept |= capability(CAP_CHOWN) | capability(CAP_SYS_NICE) | capability(CAP_SYS_RESOURCE);
    if (allow & LUNIK_SANDBOX_NETWORK)
        kept |= capability(CAP_NET_BIND_SERVICE);
    if (allow & LUNIK_SANDBOX_EXEC)
        kept |= capability(CAP_KILL);
    return kept;
}

static bool has_paths(const lunik_sandbox_policy *p)
{
    const char *const *const lists[] = {p->read, p->write, p->read_if_there, p->write_if_there};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (lists[i] && *lists[i])
            return true;
    return false;
}

/* Replaces groups by those that the filters know. 'listen' and 'network' together become 'sockets'
 * and 'network': a filter can't see what kind of socket connect() is called for. */
static unsigned whole_groups(unsigned allow)
{
    if (allow & LUNIK_SANDBOX_LISTEN && allow & LUNIK_SANDBOX_NETWORK)
        allow |= LUNIK_SANDBOX_SOCKETS;
    return allow & LUNIK_SANDBOX_SOCKETS ? allow & ~(unsigned)LUNIK_SANDBOX_LISTEN : allow;
}

static int read_policy(struct sandbox *s, const lunik_sandbox_policy *p, lunik_error *err)
{
    const unsigned known = LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_SOCKETS | LUNIK_SANDBOX_NETWORK |
                           LUNIK_SANDBOX_EXEC | LUNIK_SANDBOX_LISTEN;
    int rc = 0;

    if (p->allow & ~known)
        return lunik_fail(err, LUNIK_E_INVALID, "sandbox: allow: 0x%x is not a set of groups",
                          p->allow);
    if (has_paths(p) && p->allow & LUNIK_SANDBOX_FILES)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "sandbox: allow: 'files' allows all files (want either that or paths)");
    if (p->allow & LUNIK_SANDBOX_EXEC && !(p->allow & LUNIK_SANDBOX_FILES))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "sandbox: allow: 'exec' is of no use without 'files': programs and their "
                          "libraries have to be opened");
    s->allow = whole_groups(p->allow);
    if (has_paths(p))
        s->allow |= LUNIK_SANDBOX_PATHS;
    s->capabilities = capabilities_for(s->allow);
    if (p->user)
        rc = find_user(s, p->user, err);
    if (!rc && p->group)
        rc = find_group(s, p->group, err);
    return rc;
}

/* ---- threads -------------------------------------------------------------------------------- */

/* What the reclaimers restrict themselves by, and whether that failed. */
static struct {
    const struct sandbox *sandbox;
    _Atomic int sys;
} errand;

static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    if (!tasks)
        return -1;
    while (readdir(tasks)) /* NOLINT(concurrency-mt-unsafe): no other thread uses this stream */
        count++;
    closedir(tasks);
    return count - 2; /* "." and ".." */
}

/* The same; threads that have just ended, which may still be listed, have a while to be gone. */
static int count_settled(int known)
{
    enum { ATTEMPTS = 100, NS_PER_MS = 1000 * 1000 };
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    int count = count_threads();

    for (unsigned i = 0; i < ATTEMPTS && count > known && own_threads_have_ended(); i++) {
        nanosleep(&pause, NULL);
        count = count_threads();
    }
    return count;
}

/* The runtime's own threads stand still. */
static int check_threads(lunik_error *err)
{
    const int ours = FOREIGN_THREADS + (int)(rcu_reclaimers() + own_threads_count());
    int count = count_settled(1 + ours);

    if (count < 0)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "sandbox: can't count the process's threads: /proc/self/task: %s",
                          uv_strerror(-errno));
    if (count > 1 + ours)
        return lunik_fail(err, LUNIK_E_STATE,
                          "sandbox: the process has %d threads already (want 1: enter the sandbox "
                          "before a machine is started and before other threads are)",
                          count - ours);
    return 0;
}

static int drop_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return errno;
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i));
        data[i].effective &= data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) < 0 ? errno : 0;
}

/* Sets Landlock's rules and the capabilities of the calling thread. */
static int restrict_thread(const struct sandbox *s)
{
    int sys = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;

    if (!sys && s->rules >= 0)
        sys = sandbox_paths_enter(s->rules);
    return sys ? sys : drop_capabilities(s->capabilities);
}

static void restrict_reclaimer(struct rcu_head *head)
{
    int sys;

    rcu_note_reclaim();
    sys = restrict_thread(errand.sandbox);
    if (sys)
        errand.sys = sys;
}

/* Returns errno or 0. */
static int restrict_reclaimers(const struct sandbox *s)
{
    struct rcu_head heads[RCU_RECLAIMERS];

    errand.sandbox = s;
    errand.sys = 0;
    if (rcu_defer_each(heads, restrict_reclaimer))
        rcu_drain();
    return errand.sys;
}

static int restrict_own(const void *sandbox)
{
    return restrict_thread(sandbox);
}

/* ---- entering ------------------------------------------------------------------------------- */

/* Changes user and group of all threads. Restores the "dumpable" flag, which that clears: core
 * dumps stay possible. */
static int change_user(const struct sandbox *s)
{
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);

    if (s->changes_group && (setgroups(0, NULL) || setresgid(s->gid, s->gid, s->gid)))
        return errno;
    if (s->changes_user && setresuid(s->uid, s->uid, s->uid))
        return errno;
    if (s->changes_group && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

static int enter(const struct sandbox *s, lunik_error *err)
{
    int sys = change_user(s);

    if (sys)
        return lunik_fail_errno(err, sys, "sandbox: can't change to user %u and group %u",
                                (unsigned)s->uid, (unsigned)s->gid);
    sys = restrict_reclaimers(s);
    if (!sys)
        sys = own_threads_call(restrict_own, s);
    if (!sys)
        sys = restrict_thread(s);
    if (sys)
        return lunik_fail_errno(err, sys, "sandbox: entered in part: the host refuses the rest");
    return sandbox_filter_enter(err);
}

/* Reads or opens files that are read on first use, which would fail in the sandbox. */
static void read_ahead(void)
{
    tzset();
    kept_keep_open();
    cgroup_keep_open();
}

static int prepare(struct sandbox *s, const lunik_sandbox_policy *policy, lunik_error *err)
{
    int rc = sandbox_paths_prepare(s->allow, policy, &s->rules, err);

    if (!rc)
        rc = sandbox_filter_prepare(s->allow, err);
    return rc;
}

static const struct confinement confinement = {
    .denial = lunik_sandbox_denial,
    .enter_vcpu = sandbox_enter_vcpu,
};

/* While no thread but the caller's and the reclaimers does anything. */
static int enter_alone(const struct sandbox *s, lunik_error *err)
{
    unsigned busy = own_threads_stop(STOP_MS);
    int rc;

    if (busy)
        return lunik_fail(err, LUNIK_E_STATE,
                          "sandbox: %u threads with work of devices have not paused within %d ms "
                          "(want it entered before such work begins)",
                          busy, STOP_MS);
    rc = check_threads(err);
    if (!rc) {
        read_ahead();
        confinement_set(&confinement);
        rc = enter(s, err);
    }
    own_threads_go();
    return rc;
}

static int prepare_and_enter(struct sandbox *s, const lunik_sandbox_policy *policy,
                             lunik_error *err)
{
    int rc = prepare(s, policy, err);

    if (rc == 0)
        rc = enter_alone(s, err);
    if (s->rules >= 0)
        close(s->rules);
    return rc;
}

int lunik_sandbox(const lunik_sandbox_policy *policy, lunik_error *err)
{
    struct sandbox s = {.rules = -1};
    int rc = read_policy(&s, policy, err);

    if (rc)
        return rc;
    pthread_mutex_lock(&entering);
    if (lunik_sandboxed(NULL))
        rc = lunik_fail(err, LUNIK_E_STATE, "sandbox: this process has entered one already");
    else
        rc = prepare_and_enter(&s, policy, err);
    if (!rc)
        atomic_store_explicit(&entered, s.allow | SANDBOX_ENGINE, memory_order_release);
    pthread_mutex_unlock(&entering);
    return rc;
}
