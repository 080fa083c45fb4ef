/* system.c: who answers, the time, and the end of the system. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <linux/time.h>
#include <sys/syscall.h>

#define VERSION 1

void (*afterwards)(void);

static long run_hello(struct call *c)
{
    answer_number(c, "version", VERSION);
    answer_number(c, "pid", SYS0(SYS_getpid));
    answer_text(c, "call", sys_by_ud2 ? "ud2" : "syscall");
    return 0;
}

static long run_time(struct call *c)
{
    struct timespec now = {0};

    SYS2(SYS_clock_gettime, CLOCK_REALTIME, &now);
    answer_number(c, "seconds", now.tv_sec);
    answer_number(c, "nanoseconds", now.tv_nsec);
    answer_number(c, "monotonic", sys_now());
    return 0;
}

static long run_sleep(struct call *c)
{
    int64_t time = call_range(c, "milliseconds", 0, 3600000);

    if (!c->rc)
        sys_sleep(time);
    return c->rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

static unsigned reboot_command;
static char sysrq_key;

static void reboot_now(void)
{
    SYS0(SYS_sync);
    SYS4(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, reboot_command, NULL);
}

static void sysrq_now(void)
{
    long fd = sys_open("/proc/sysrq-trigger", O_WRONLY, 0);

    sys_write_all(fd, &sysrq_key, 1, -1);
    sys_close(fd);
}

/* Only for the system that is this agent's own. */
static long allowed(struct call *c)
{
    if (whole_system)
        return 0;
    call_about(c, "this agent is not the first process of a system of its own");
    return -EPERM;
}

static long run_reboot(struct call *c)
{
    const char *how = call_text(c, "how");

    if (text_equal(how, "restart"))
        reboot_command = LINUX_REBOOT_CMD_RESTART;
    else if (text_equal(how, "poweroff"))
        reboot_command = LINUX_REBOOT_CMD_POWER_OFF;
    else if (text_equal(how, "halt"))
        reboot_command = LINUX_REBOOT_CMD_HALT;
    else
        call_complain(c, "how", "is none of restart, poweroff and halt");
    if (c->rc || allowed(c) < 0)
        return c->rc ? c->rc : -EPERM;
    afterwards = reboot_now;
    return 0;
}

static long run_sysrq(struct call *c)
{
    const char *key = call_text(c, "key");

    if (!c->rc && text_length(key) != 1)
        call_complain(c, "key", "is not one character");
    if (c->rc || allowed(c) < 0)
        return c->rc ? c->rc : -EPERM;
    sysrq_key = key[0];
    afterwards = sysrq_now;
    return 0;
}

const struct command system_commands[] = {
    {"hello", "", run_hello},
    {"time", "", run_time},
    {"sleep", "milliseconds", run_sleep},
    {"reboot", "how", run_reboot},
    {"sysrq", "key", run_sysrq},
    {0},
};
