/* sandbox_paths.c: Landlock rules for the files that may be opened. */
#define _GNU_SOURCE /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

/* Newer than the headers may be. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14) /* Landlock 3 */

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_ON_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define ACCESS_WRITE                                                                               \
    (ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE |                               \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
#define ACCESS_NEVER                                                                               \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

/* What this kernel's Landlock knows of it. */
static uint64_t handled(long abi)
{
    uint64_t access = ACCESS_WRITE | ACCESS_NEVER;

    if (abi < 2)
        access &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
    if (abi < 3)
        access &= ~ACCESS_TRUNCATE;
    return access;
}

static int add_path(int rules, const char *path, uint64_t access, lunik_error *err)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat st;
    int code = 0;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return lunik_fail_errno(err, errno, "sandbox: path '%s'", path);
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= ACCESS_ON_FILES;
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        code = lunik_fail_errno(err, errno, "sandbox: path '%s'", path);
    close(rule.parent_fd);
    return code;
}

static int add_paths(int rules, const char *const *paths, uint64_t access, lunik_error *err)
{
    int code = 0;

    for (; paths && *paths && !code; paths++)
        code = add_path(rules, *paths, access, err);
    return code;
}

int sandbox_paths_prepare(const lunik_sandbox_policy *policy, lunik_error *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attr = {.handled_access_fs = handled(abi)};
    int rules, code;

    if (abi < 1)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "sandbox: this kernel has no Landlock, which paths need (allow 'files' "
                          "instead)");
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules < 0)
        return lunik_fail_errno(err, errno, "sandbox: can't make rules for paths");
    code = add_paths(rules, policy->read, ACCESS_READ & attr.handled_access_fs, err);
    if (!code)
        code = add_paths(rules, policy->write, ACCESS_WRITE & attr.handled_access_fs, err);
    if (code) {
        close(rules);
        return code;
    }
    return rules;
}

int sandbox_paths_enter(int rules)
{
    return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? errno : 0;
}
