/* chardev_log.c: a file that gets what the front end of a character device writes; see chardev.h.
 */
#include <stdio.h>

#include "chardev.h"

/* Reports the first failure; later output is tried again. */
static void log_failed(struct chardev *c, int sys)
{
    char message[128];

    if (c->log_failed)
        return;
    c->log_failed = true;
    snprintf(message, sizeof(message), "logfile: %s", uv_strerror(-sys));
    chardev_error(c, message);
}

int chardev_log_open(struct chardev *c, lunik_error *err)
{
    int rc;

    if (!c->log_path && c->log_append)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: logappend: there is no logfile",
                          lunik_object_type_name(lunik_state_object(c)));
    if (!c->log_path)
        return 0;
    rc = chardev_output_open_file(&c->log, c, c->log_path, c->log_append, "logfile", log_failed,
                                  err);
    if (!rc)
        chardev_output_is_log(c->log);
    return rc;
}

size_t chardev_log_room(struct chardev *c, size_t size)
{
    return c->log ? chardev_output_room(c->log, size) : size;
}

void chardev_log_add(struct chardev *c, const uint8_t *data, size_t size)
{
    if (c->log)
        chardev_output_write(c->log, data, size);
}

void chardev_log_close(struct chardev *c)
{
    chardev_output_close(&c->log, CHARDEV_REST_TRY);
}
