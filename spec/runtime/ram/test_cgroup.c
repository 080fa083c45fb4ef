/* test_cgroup.c: what control groups leave a process, read from files as the kernel shows them. */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ram/cgroup.h"
#include "check.h"

static char dir[] = "/tmp/lunik-cgroup-XXXXXX";

/* Puts a text into a file below dir, whose folders are made. */
static void put(const char *path, const char *text)
{
    char full[256];
    FILE *f;

    snprintf(full, sizeof(full), "%s/%s", dir, path);
    for (char *slash = full + sizeof(dir); (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static uint64_t left(uint64_t swap)
{
    char membership[64];

    snprintf(membership, sizeof(membership), "%s/membership", dir);
    return cgroup_left_at(membership, dir, swap);
}

static void clean(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s/*", dir);
    check_int("clean", system(command), 0);
}

static void test_v2(void)
{
    check_uint("v2: no membership", left(0), UINT64_MAX);
    put("membership", "0::/a/b\n");
    check_uint("v2: no such group", left(0), UINT64_MAX);
    put("a/b/memory.max", "1000000\n");
    put("a/b/memory.current", "300000\n");
    check_uint("v2: limit less usage", left(0), 700000);
    put("a/b/memory.stat",
        "anon 1\nfile 90\ninactive_anon 5\ninactive_file 20000\nactive_file 10000\n");
    check_uint("v2: and what can be reclaimed", left(0), 730000);
    check_uint("v2: swap without a limit", left(5000), 735000);
    put("a/b/memory.swap.max", "3000\n");
    put("a/b/memory.swap.current", "1000\n");
    check_uint("v2: swap with one", left(5000), 732000);
    put("a/memory.max", "max\n");
    check_uint("v2: no limit above", left(0), 730000);
    put("a/memory.max", "400000\n");
    put("a/memory.current", "390000\n");
    check_uint("v2: a limit above", left(0), 10000);
    put("a/memory.current", "410000\n");
    check_uint("v2: it is reached", left(0), 0);
    put("a/memory.max", "max\n");
    put("a/b/memory.max", "max\n");
    check_uint("v2: no limits", left(0), UINT64_MAX);
}

static void test_v1(void)
{
    put("membership", "3:cpu,cpuacct:/x\n2:name=systemd:/y\n1:memory:/a\n0::/\n");
    put("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/a/memory.usage_in_bytes", "1\n");
    check_uint("v1: no limit", left(0), UINT64_MAX);
    put("memory/a/memory.limit_in_bytes", "1000000\n");
    check_uint("v1: limit less usage", left(0), 999999);
    put("memory/a/memory.stat",
        "cache 0\ninactive_file 7\ntotal_inactive_file 100\ntotal_active_file 10\n");
    check_uint("v1: and what can be reclaimed", left(0), 1000109);
    check_uint("v1: swap", left(50), 1000159);
    put("memory/a/memory.memsw.limit_in_bytes", "1000020\n");
    put("memory/a/memory.memsw.usage_in_bytes", "10\n");
    check_uint("v1: a limit of both", left(50), 1000120);
    put("memory/memory.limit_in_bytes", "500\n");
    put("memory/memory.usage_in_bytes", "100\n");
    check_uint("v1: a limit above", left(0), 400);
}

/* The path is one of the host's; what can be seen begins with the container's own group. */
static void test_container(void)
{
    put("membership", "1:memory:/docker/0123456789\n");
    put("memory/memory.limit_in_bytes", "500\n");
    put("memory/memory.usage_in_bytes", "100\n");
    check_uint("a container's group", left(0), 400);
    put("membership", "1:memory:/\n");
    check_uint("named as it is seen", left(0), 400);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_v2();
    clean();
    test_v1();
    clean();
    test_container();
    clean();
    rmdir(dir);
    return check_result();
}
