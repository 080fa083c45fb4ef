/* tree.c: files by their paths: folders, links, nodes, mounts, files of /proc and /sys. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static const char *kind_of(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "link";
    case S_IFBLK:
        return "block";
    case S_IFCHR:
        return "char";
    case S_IFIFO:
        return "fifo";
    default:
        return "socket";
    }
}

static long run_stat(struct call *c)
{
    const char *path = call_text(c, "path");
    struct stat st;
    long rc;

    if (c->rc)
        return c->rc;
    call_about(c, path);
    rc = SYS4(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
    if (rc < 0)
        return rc;
    answer_text(c, "kind", kind_of(st.st_mode));
    answer_number(c, "mode", st.st_mode & 07777);
    answer_number(c, "size", st.st_size);
    answer_number(c, "inode", (int64_t)st.st_ino);
    answer_number(c, "links", (int64_t)st.st_nlink);
    answer_number(c, "blocks", st.st_blocks);
    answer_number(c, "modified", st.st_mtim.tv_sec);
    answer_number(c, "major", major(st.st_rdev));
    answer_number(c, "minor", minor(st.st_rdev));
    return 0;
}

struct entry { /* linux_dirent64 */
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t kind;
    char name[];
};

/* Puts the names of a part of a folder, each followed by '/' where it is a folder and a zero byte.
 * Returns where to go on; 0 at the end. */
static long put_names(long fd, struct text *names)
{
    long n = SYS3(SYS_getdents64, fd, buffer, CALL_DATA);
    int64_t next = 0;

    for (long at = 0; at < n;) {
        const struct entry *e = (const struct entry *)(buffer + at);

        if (!text_equal(e->name, ".") && !text_equal(e->name, "..")) {
            text_put(names, e->name);
            text_put_bytes(names, e->kind == 4 ? "/" : "", e->kind == 4 ? 2 : 1);
        }
        next = e->next;
        at += e->length;
    }
    return n < 0 ? n : next;
}

static long run_list(struct call *c)
{
    static char names_data[CALL_DATA];
    struct text names = {names_data, sizeof(names_data), 0, false};
    const char *path = call_text(c, "path");
    int64_t from = call_number_or(c, "from", 0);
    long fd, next;

    if (c->rc)
        return c->rc;
    call_about(c, path);
    fd = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    next = SYS3(SYS_lseek, fd, from, 0);
    if (next >= 0)
        next = put_names(fd, &names);
    sys_close(fd);
    if (next < 0)
        return next;
    answer_number(c, "next", names.used ? next : 0);
    answer_data(c, "names", names.data, names.used);
    return 0;
}

static long run_mkdir(struct call *c)
{
    const char *path = call_text(c, "path");
    int64_t mode = call_number_or(c, "mode", 0755);

    if (c->rc)
        return c->rc;
    call_about(c, path);
    return SYS2(SYS_mkdir, path, mode);
}

static long run_remove(struct call *c)
{
    const char *path = call_text(c, "path");
    long rc;

    if (c->rc)
        return c->rc;
    call_about(c, path);
    rc = SYS3(SYS_unlinkat, AT_FDCWD, path, 0);
    return rc == -EISDIR ? SYS3(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR) : rc;
}

static long run_rename(struct call *c)
{
    const char *from = call_text(c, "path"), *to = call_text(c, "to");

    if (c->rc)
        return c->rc;
    call_about(c, from);
    return SYS2(SYS_rename, from, to);
}

static long run_symlink(struct call *c)
{
    const char *path = call_text(c, "path"), *to = call_text(c, "to");

    if (c->rc)
        return c->rc;
    call_about(c, path);
    return SYS2(SYS_symlink, to, path);
}

static long run_readlink(struct call *c)
{
    const char *path = call_text(c, "path");
    long n;

    if (c->rc)
        return c->rc;
    call_about(c, path);
    n = SYS3(SYS_readlink, path, buffer, 4096);
    if (n < 0)
        return n;
    answer_data(c, "to", buffer, (size_t)n);
    return 0;
}

static long run_mknod(struct call *c)
{
    const char *path = call_text(c, "path"), *kind = call_text(c, "kind");
    int64_t number = call_range(c, "major", 0, 4095), small = call_range(c, "minor", 0, 1048575);
    bool block = text_equal(kind, "block");

    if (!block && !text_equal(kind, "char"))
        call_complain(c, "kind", "is neither block nor char");
    if (c->rc)
        return c->rc;
    call_about(c, path);
    return SYS3(SYS_mknod, path, (block ? S_IFBLK : S_IFCHR) | 0600,
                (small & 255) | number << 8 | (small & ~(int64_t)255) << 12);
}

/* ---- mounts ---------------------------------------------------------------------------------- */

static long run_mount(struct call *c)
{
    const char *source = call_text(c, "source"), *target = call_text(c, "target");
    const char *kind = call_text(c, "kind"), *options = call_text_or(c, "options", "");
    int64_t readonly = call_number_or(c, "readonly", 0);

    if (c->rc)
        return c->rc;
    call_about(c, target);
    return SYS5(SYS_mount, source, target, kind, readonly ? MS_RDONLY : 0, options);
}

static long run_umount(struct call *c)
{
    const char *target = call_text(c, "target");

    if (c->rc)
        return c->rc;
    call_about(c, target);
    return SYS2(SYS_umount2, target, 0);
}

static long run_sync(struct call *c)
{
    return SYS0(SYS_sync);
}

void mount_kernel_filesystems(void)
{
    static const struct {
        const char *kind, *target, *inside;
    } mounts[] = {
        {"devtmpfs", "/dev", "/dev/null"},
        {"proc", "/proc", "/proc/self"},
        {"sysfs", "/sys", "/sys/kernel"},
    };
    struct stat st;

    for (unsigned i = 0; i < 3; i++) {
        if (SYS4(SYS_newfstatat, AT_FDCWD, mounts[i].inside, &st, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        SYS2(SYS_mkdir, mounts[i].target, 0755);
        SYS5(SYS_mount, mounts[i].kind, mounts[i].target, mounts[i].kind, 0, "");
    }
}

/* ---- small files ----------------------------------------------------------------------------- */

static long run_read(struct call *c)
{
    const char *path = call_text(c, "path");
    int64_t offset = call_number_or(c, "offset", 0);
    long fd, n;

    if (c->rc)
        return c->rc;
    call_about(c, path);
    fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    n = sys_read_all(fd, buffer, CALL_DATA, offset);
    if (n == -ESPIPE && offset == 0)
        n = sys_read_all(fd, buffer, CALL_DATA, -1);
    sys_close(fd);
    if (n < 0)
        return n;
    answer_data(c, "data", buffer, (size_t)n);
    return 0;
}

static long run_write(struct call *c)
{
    const char *path = call_text(c, "path"), *how = call_text_or(c, "how", "existing");
    const struct arg *data = call_data(c, "data");
    int flags = O_WRONLY | O_NOCTTY;
    long fd, n;

    if (text_equal(how, "create"))
        flags |= O_CREAT | O_TRUNC;
    else if (text_equal(how, "append"))
        flags |= O_CREAT | O_APPEND;
    else if (!text_equal(how, "existing"))
        call_complain(c, "how", "is none of existing, create and append");
    if (c->rc)
        return c->rc;
    call_about(c, path);
    fd = sys_open(path, flags, 0644);
    if (fd < 0)
        return fd;
    n = sys_write_all(fd, data->value, data->size, -1);
    sys_close(fd);
    return n < 0 ? n : n < (long)data->size ? -ENOSPC : 0;
}

const struct command tree_commands[] = {
    {"stat", "path", run_stat},
    {"list", "path from", run_list},
    {"mkdir", "path mode", run_mkdir},
    {"remove", "path", run_remove},
    {"rename", "path to", run_rename},
    {"symlink", "path to", run_symlink},
    {"readlink", "path", run_readlink},
    {"mknod", "path kind major minor", run_mknod},
    {"mount", "source target kind options readonly", run_mount},
    {"umount", "target", run_umount},
    {"sync", "", run_sync},
    {"read", "path offset", run_read},
    {"write", "path data how", run_write},
    {0},
};
