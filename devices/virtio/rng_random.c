/* rng_random.c: random bytes of a file, such as /dev/hwrng. */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rng.h"
#include "../types.h"

struct rng_random {
    char *filename;
    int fd;
};

static size_t read_bytes(lunik_object *o, void *buf, size_t size)
{
    const struct rng_random *s = lunik_state(o);
    ssize_t count = TEMP_FAILURE_RETRY(read(s->fd, buf, size));

    return count > 0 ? (size_t)count : 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct rng_random *s = lunik_state(o);
    struct stat st;

    s->fd = TEMP_FAILURE_RETRY(open(s->filename, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (s->fd < 0)
        return lunik_fail_errno(err, errno, "rng-random: filename: can't open '%s'", s->filename);
    if (fstat(s->fd, &st) || S_ISDIR(st.st_mode)) {
        close(s->fd);
        return lunik_fail(err, LUNIK_E_INVALID,
                          "rng-random: filename: '%s' is no file to read (want one such as "
                          "\"/dev/urandom\")",
                          s->filename);
    }
    return 0;
}

static void unrealize(lunik_object *o)
{
    const struct rng_random *s = lunik_state(o);

    close(s->fd);
}

static const lunik_prop props[] = {
    {
        .name = "filename",
        .kind = LUNIK_PROP_STRING,
        .doc = "The file or character device to read.",
        .offset = offsetof(struct rng_random, filename),
        .def_string = "/dev/urandom",
    },
    {0},
};

static const lunik_rng_ops rng_ops = {.read = read_bytes};
static const lunik_iface ifaces[] = {LUNIK_IFACE(rng, &rng_ops), {0}};

const lunik_type rng_random_type = {
    .name = "rng-random",
    .doc = "Random bytes of a file, for virtio-rng-pci.",
    .flags = LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct rng_random),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
