/* test_chardev_pty.c: many pseudo-terminals in one runtime. */
#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>

#include "chardev_rig.h"
#include "terminals.h"

enum { PTYS = 200 };

/* How many inotify instances this process has. */
static unsigned count_instances(void)
{
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned count = 0;

    while (d && (entry = readdir(d))) {
        char path[PATH_MAX], target[64] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof(target) - 1) > 0)
            count += strstr(target, "inotify") != NULL;
    }
    if (d)
        closedir(d);
    return count;
}

static lunik_object *add_pty(unsigned i)
{
    lunik_object *o = NULL;
    char id[16];

    snprintf(id, sizeof(id), "p%u", i);
    lunik_object_add(machine, "chardev-pty", &LUNIK_FIELD_STRING("id", id), 1, &o, &add_error);
    return o;
}

static bool connected(lunik_object *o)
{
    lunik_value v = {0};

    lunik_object_get(o, "connected", &v, NULL);
    return v.boolean;
}

static int open_slave(lunik_object *o)
{
    lunik_value v = {0};

    lunik_object_get(o, "path", &v, NULL);
    return open(v.string, O_RDWR | O_NOCTTY | O_NONBLOCK);
}

static void test_one_instance(void)
{
    lunik_object *ptys[PTYS];
    unsigned made = 0;
    int slave;

    setup();
    while (made < PTYS && (ptys[made] = add_pty(made)))
        made++;
    check_uint("as many as the host has terminals for", made, PTYS);
    check_uint("share one inotify instance", count_instances(), 1);
    for (unsigned i = 0; i < made; i += 50) {
        slave = open_slave(ptys[i]);
        settle();
        check_true("each notices its own slave", connected(ptys[i]) && !connected(ptys[i + 1]));
        close(slave);
        settle();
        check_true("and when that is closed", !connected(ptys[i]));
    }
    slave = open_slave(ptys[0]); /* its notice is on the way when it is deleted */
    check_int("delete", lunik_object_del(machine, "p0", &add_error), 0);
    check_true("a notice of one that is gone is ignored", settle());
    close(slave);
    lunik_machine_close(machine);
    check_uint("the runtime keeps it", count_instances(), 1);
    lunik_runtime_free(rt);
    check_uint("until it is freed", count_instances(), 0);
}

int main(void)
{
    alarm(60);
    if (check_terminals("instances"))
        test_one_instance();
    return check_result();
}
