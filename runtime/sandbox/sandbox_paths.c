/*
 * sandbox_paths.c: the Landlock domain: which files may be opened, and which processes reached.
 *
 * DESIGN. A process in a domain can't trace another one outside it, nor open its /proc/PID/mem,
 * whatever rules the domain has. So every sandbox has a domain if the kernel has Landlock. Its
 * rules for files depend on the policy:
 * - with paths, only these may be opened;
 * - with all files, it has the least rules that a domain can have;
 * - with neither, no file may be opened (the seccomp filter forbids that as well), but Unix domain
 *   sockets may be made anywhere.
 * From Landlock's sixth version on the domain also restricts abstract sockets, and signals unless
 * programs are allowed, to the process itself and those that it starts.
 */
#define _GNU_SOURCE /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

/* Constants that older headers lack. */
#define ACCESS_TRUNCATE        (UINT64_C(1) << 14) /* Landlock 3 */
#define SCOPE_ABSTRACT_SOCKETS (UINT64_C(1) << 0)  /* Landlock 6 */
#define SCOPE_SIGNALS          (UINT64_C(1) << 1)

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_ON_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define ACCESS_WRITE                                                                               \
    (ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE |                               \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
#define ACCESS_DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define ACCESS_NEVER   (LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_DEVICES)

/* struct landlock_ruleset_attr in its sixth version; older kernels take it if the rest is 0. */
struct ruleset {
    uint64_t files, network, scoped;
};

/* ---- restrictions --------------------------------------------------------------------------- */

/* Returns the accesses that need a rule, of those that this kernel's Landlock knows. Moving or
 * linking files into another directory needs a rule in every domain from Landlock 2 on. */
static uint64_t handled(unsigned allow, long abi)
{
    uint64_t access = ACCESS_WRITE | ACCESS_NEVER;

    if (allow & LUNIK_SANDBOX_FILES)
        access = LANDLOCK_ACCESS_FS_REFER | ACCESS_DEVICES;
    else if (!(allow & LUNIK_SANDBOX_PATHS))
        access &= ~(uint64_t)LANDLOCK_ACCESS_FS_MAKE_SOCK;
    if (abi < 2)
        access &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
    if (abi < 3)
        access &= ~ACCESS_TRUNCATE;
    return access;
}

/* Returns what is restricted to the domain. With programs that excludes signals: the process has to
 * be able to end programs that it started before. */
static uint64_t scoped(unsigned allow, long abi)
{
    if (abi < 6)
        return 0;
    return SCOPE_ABSTRACT_SOCKETS | (allow & LUNIK_SANDBOX_EXEC ? 0 : SCOPE_SIGNALS);
}

/* ---- paths ---------------------------------------------------------------------------------- */

/* A set of rules under construction. */
struct rules {
    int fd;
    uint64_t handled;
};

/* Adds a rule for the open file or directory; returns errno or 0. */
static int add_open(const struct rules *r, int fd, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = access & r->handled,
        .parent_fd = fd,
    };
    struct stat st;

    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= ACCESS_ON_FILES;
    if (!rule.allowed_access)
        return 0;
    return syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? errno
                                                                                           : 0;
}

static int add_paths(const struct rules *r, const char *const *paths, uint64_t access,
                     lunik_error *err)
{
    for (; paths && *paths; paths++) {
        int fd = open(*paths, O_PATH | O_CLOEXEC);
        int sys = fd < 0 ? errno : add_open(r, fd, access);

        if (fd >= 0)
            close(fd);
        if (sys)
            return lunik_fail_errno(err, sys, "sandbox: path '%s'", *paths);
    }
    return 0;
}

static bool is_root(int fd)
{
    struct stat st, root;

    return fstat(fd, &st) == 0 && stat("/", &root) == 0 && st.st_dev == root.st_dev &&
           st.st_ino == root.st_ino;
}

/* Adds rules for the paths that exist. Skips those that can't be opened, which could not be opened
 * later either, and ignores failures: pipes and the like need no rule. */
static void add_those_there(const struct rules *r, const char *const *paths, uint64_t access)
{
    for (; paths && *paths; paths++) {
        int fd = open(*paths, O_PATH | O_CLOEXEC);

        if (fd < 0)
            continue;
        if (!is_root(fd))
            add_open(r, fd, access);
        close(fd);
    }
}

static int add_policy(const struct rules *r, unsigned allow, const lunik_sandbox_policy *policy,
                      lunik_error *err)
{
    static const char *const everywhere[] = {"/", NULL};
    int rc;

    if (allow & LUNIK_SANDBOX_FILES)
        return add_paths(r, everywhere, LANDLOCK_ACCESS_FS_REFER, err);
    rc = add_paths(r, policy->read, ACCESS_READ, err);
    if (!rc)
        rc = add_paths(r, policy->write, ACCESS_WRITE, err);
    if (rc)
        return rc;
    add_those_there(r, policy->read_if_there, ACCESS_READ);
    add_those_there(r, policy->write_if_there, ACCESS_WRITE);
    return 0;
}

/* ---- the domain ----------------------------------------------------------------------------- */

int sandbox_paths_prepare(unsigned allow, const lunik_sandbox_policy *policy, int *fd,
                          lunik_error *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const struct ruleset attr = {.files = handled(allow, abi), .scoped = scoped(allow, abi)};
    struct rules r = {.handled = attr.files};
    int rc;

    *fd = -1;
    if (abi < 1 && allow & LUNIK_SANDBOX_PATHS)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "sandbox: this kernel has no Landlock, which paths need (allow 'files' "
                          "instead)");
    if (abi < 1)
        return 0;
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (r.fd < 0)
        return lunik_fail_errno(err, errno, "sandbox: can't make rules for paths");
    rc = add_policy(&r, allow, policy, err);
    if (rc)
        close(r.fd);
    else
        *fd = r.fd;
    return rc;
}

int sandbox_paths_enter(int rules)
{
    return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? errno : 0;
}
