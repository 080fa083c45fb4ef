/*
 * test_sandbox_landlock.c: the files and processes that a sandbox with Landlock keeps from the
 * process, tried by its main thread and by a vCPU's. Where the kernel has none, only what then
 * happens is tested.
 */
#define _GNU_SOURCE /* O_PATH, syscall */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "check.h"
#include "sandbox.h"

static lunik_error err;

/* folder/in may be written, folder/out only be read; each has a file and a directory. */
static char folder[] = "/tmp/lunik-sandbox.XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int open_and_close(const char *path, int flags)
{
    int fd = open(path, flags, 0600);

    if (fd < 0)
        return errno;
    close(fd);
    return WORKED;
}

static const char *of_parent(const char *file)
{
    static char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)getppid(), file);
    return path;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int try_write(void)
{
    return open_and_close(in_folder("in/new"), O_RDWR | O_CREAT | O_TRUNC);
}

static int try_remove(void)
{
    int rc = open_and_close(in_folder("in/gone"), O_RDWR | O_CREAT);

    return rc ? rc : result(unlink(in_folder("in/gone")));
}

static int try_read(void)
{
    return open_and_close(in_folder("out/file"), O_RDONLY);
}

static int try_read_beyond(void)
{
    return open_and_close("/etc/passwd", O_RDONLY);
}

static int try_write_beyond(void)
{
    return open_and_close(in_folder("out/file"), O_WRONLY);
}

static int try_create_beyond(void)
{
    return result(creat(in_folder("out/new"), 0600));
}

static int try_remove_beyond(void)
{
    return result(unlink(in_folder("out/file")));
}

static int try_truncate_by_opening(void)
{
    return open_and_close(in_folder("out/file"), O_RDONLY | O_TRUNC);
}

static int try_truncate(void)
{
    return result(truncate(in_folder("out/file"), 0));
}

static int try_openat2(void)
{
    const uint64_t how[3] = {O_RDONLY | O_TRUNC, 0, 0};

    return result(syscall(SYS_openat2, AT_FDCWD, in_folder("out/file"), how, sizeof(how)));
}

static int try_move_out(void)
{
    return result(rename(in_folder("in/file"), in_folder("out/moved")));
}

static int try_replace(void)
{
    return result(rename(in_folder("in/file"), in_folder("out/file")));
}

static int try_link_in(void)
{
    return result(link(in_folder("out/file"), in_folder("in/link")));
}

/* The link is below the paths, its target is not. */
static int try_through_symlink(void)
{
    unlink(in_folder("in/symlink"));
    if (symlink("/etc/passwd", in_folder("in/symlink")))
        return WRONG;
    return open_and_close(in_folder("in/symlink"), O_RDONLY);
}

static int try_through_descriptor(void)
{
    char path[64];
    int fd = open(in_folder("out/file"), O_RDONLY);

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open_and_close(path, O_WRONLY);
}

static int try_mode(void)
{
    return result(fchmod(open(in_folder("out/file"), O_RDONLY), 0600));
}

static int try_device(void)
{
    return result(mknod(in_folder("in/device"), S_IFCHR | 0600, 0x103));
}

static int try_socket_beyond(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_folder("out/socket"));
    return result(
        bind(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address, sizeof(address)));
}

static int try_execute(void)
{
    return result(syscall(SYS_execve, "/bin/true", NULL, NULL));
}

static int try_core_pattern(void)
{
    return open_and_close("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int try_own_memory(void)
{
    return open_and_close("/proc/self/mem", O_RDWR);
}

/* ---- other processes ------------------------------------------------------------------------ */

static int try_memory(void)
{
    return open_and_close(of_parent("mem"), O_RDWR);
}

static int try_environment(void)
{
    return open_and_close(of_parent("environ"), O_RDONLY);
}

static int try_descriptors(void)
{
    char target[64];

    return result(readlink(of_parent("fd/0"), target, sizeof(target)));
}

static int try_abstract_socket(void)
{
    const struct sockaddr_un address = {AF_UNIX, "\0lunik-sandbox"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return result(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
}

/* Landlock has nothing against it if all files are allowed. */
static int try_rename(void)
{
    if (rename(in_folder("in/file"), in_folder("out/moved")))
        return errno;
    return result(rename(in_folder("out/moved"), in_folder("in/file")));
}

/* ---- policies ------------------------------------------------------------------------------- */

struct attempt {
    const char *name;
    sandbox_try_fn *fn;
    int want;
};

static const struct attempt with_paths[] = {
    {"a file below a path to be written", try_write, WORKED},
    {"removing a file there", try_remove, WORKED},
    {"a file below a path to be read", try_read, WORKED},
    {"reading another file", try_read_beyond, EACCES},
    {"writing a file to be read", try_write_beyond, EACCES},
    {"making a file there", try_create_beyond, EACCES},
    {"removing a file there that may be read", try_remove_beyond, EACCES},
    {"truncating it by opening it", try_truncate_by_opening, EPERM},
    {"truncating it", try_truncate, EPERM},
    {"openat2, whose flags can't be seen", try_openat2, ENOSYS},
    {"replacing a file", try_replace, EACCES},
    {"a hard link to a file to be read", try_link_in, EXDEV},
    {"following a symbolic link out", try_through_symlink, EACCES},
    {"writing what is open for reading", try_through_descriptor, EACCES},
    {"changing the mode of what is open", try_mode, EPERM},
    {"a device", try_device, EACCES},
    {"a program", try_execute, EPERM},
    {"the pattern of core files", try_core_pattern, EACCES},
    {"its own memory, through a file", try_own_memory, EACCES},
    {"another process's memory", try_memory, EACCES},
    {0},
};

static const struct attempt with_all_files[] = {
    {"reading a file", try_read_beyond, WORKED},
    {"truncating a file", try_truncate_by_opening, WORKED},
    {"another process's memory", try_memory, EACCES},
    {"another process's environment", try_environment, EACCES},
    {"another process's descriptors", try_descriptors, EACCES},
    {0},
};

static void check_attempts(const char *name, const lunik_sandbox_policy *policy,
                           const struct attempt *attempts)
{
    char text[128];

    for (const struct attempt *a = attempts; a->name; a++) {
        snprintf(text, sizeof(text), "with %s: %s", name, a->name);
        check_int(text, within(policy, a->fn), a->want);
        snprintf(text, sizeof(text), "with %s, on a vCPU's thread: %s", name, a->name);
        check_int(text, within_thread(policy, a->fn, true), a->want);
    }
}

static void test_paths(void)
{
    char in[64], out[64];
    const char *read[] = {out, NULL}, *write[] = {in, NULL};
    const char *there[] = {"/does/not/exist", "/proc", NULL};
    const lunik_sandbox_policy policy = {.read = read, .write = write, .read_if_there = there};
    const lunik_sandbox_policy listening = {
        .allow = LUNIK_SANDBOX_LISTEN, .read = read, .write = write};

    snprintf(in, sizeof(in), "%s", in_folder("in"));
    snprintf(out, sizeof(out), "%s", in_folder("out"));
    check_attempts("paths", &policy, with_paths);
    check_int("with paths: a socket elsewhere", within(&listening, try_socket_beyond), EACCES);
    /* Before its second version Landlock refuses with another error. */
    check_true("with paths: moving a file out", within(&policy, try_move_out) != WORKED);
}

static void test_missing_paths(void)
{
    const char *missing[] = {"/does/not/exist", NULL};
    const lunik_sandbox_policy there = {.write_if_there = missing}, read = {.read = missing};
    const lunik_sandbox_policy both = {.allow = LUNIK_SANDBOX_FILES, .read_if_there = missing};

    check_int("no path is there", within(&there, try_read_beyond), EACCES);
    check_int("a path that has to be there", lunik_sandbox(&read, &err), LUNIK_E_NOT_FOUND);
    check_contains("is named", err.message, "'/does/not/exist'");
    check_int("all files and some", lunik_sandbox(&both, &err), LUNIK_E_INVALID);
    check_true("nothing is in force", !lunik_sandboxed(NULL));
}

static void test_files(long abi)
{
    const lunik_sandbox_policy files = {.allow = LUNIK_SANDBOX_FILES};
    const lunik_sandbox_policy programs = {.allow = LUNIK_SANDBOX_FILES | LUNIK_SANDBOX_EXEC};

    check_attempts("all files", &files, with_all_files);
    check_attempts("programs", &programs, with_all_files);
    check_int("moving a file", within(&files, try_rename), abi < 2 ? EXDEV : WORKED);
}

static void test_abstract_sockets(long abi)
{
    const struct sockaddr_un address = {AF_UNIX, "\0lunik-sandbox"};
    const lunik_sandbox_policy sockets = {.allow = LUNIK_SANDBOX_SOCKETS};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 4))
        return (void)check_true("an abstract socket", false);
    check_int("connecting to an abstract socket", within(&sockets, try_abstract_socket),
              abi < 6 ? WORKED : EPERM);
    close(fd);
}

/* ---- kernels without ------------------------------------------------------------------------ */

/* Has landlock_create_ruleset() fail as there. */
static bool hide_landlock(void)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {4, (struct sock_filter *)code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int try_without(void)
{
    const char *read[] = {"/etc", NULL};
    const lunik_sandbox_policy paths = {.read = read}, files = {.allow = LUNIK_SANDBOX_FILES};

    if (!hide_landlock())
        return WRONG;
    if (lunik_sandbox(&paths, &err) != LUNIK_E_UNSUPPORTED || !strstr(err.message, "Landlock"))
        return WRONG;
    if (lunik_sandboxed(NULL) || lunik_sandbox(&files, &err))
        return WRONG;
    return try_read_beyond();
}

static void test_without(void)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(try_without());
    check_int("without Landlock paths are refused, and files are allowed", exit_code_of(child),
              WORKED);
}

/* ---- the folder ----------------------------------------------------------------------------- */

static bool make_folder(void)
{
    return mkdtemp(folder) && mkdir(in_folder("in"), 0700) == 0 &&
           mkdir(in_folder("out"), 0700) == 0 &&
           open_and_close(in_folder("in/file"), O_RDWR | O_CREAT) == 0 &&
           open_and_close(in_folder("out/file"), O_RDWR | O_CREAT) == 0;
}

static void remove_folder(void)
{
    static const char *const files[] = {"in/new", "in/symlink", "in/file", "out/file"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(in_folder(files[i]));
    rmdir(in_folder("in"));
    rmdir(in_folder("out"));
    rmdir(folder);
}

int main(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);

    test_without();
    if (abi < 1) {
        check_skip("the domain", "this kernel has no Landlock");
        return check_result();
    }
    if (!make_folder() || !drop_capabilities())
        return 1;
    test_paths();
    test_missing_paths();
    test_files(abi);
    test_abstract_sockets(abi);
    remove_folder();
    return check_result();
}
