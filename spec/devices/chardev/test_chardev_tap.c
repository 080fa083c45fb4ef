/* test_chardev_tap.c: what any character device has in addition to its target: a tap and a log of
 * what the front end writes, and breaks for the front end. */
#define _GNU_SOURCE /* for chardev_rig.h */
#include "chardev_rig.h"

static const lunik_chardev_tap_ops *tap;
static unsigned notified, breaks;

static void on_notify(void *opaque)
{
    notified++;
}

static void on_break(void *opaque)
{
    breaks++;
}

static const char *kept_from(uint64_t position)
{
    static char text[100];
    size_t size = tap->peek(front.o, position, (uint8_t *)text, sizeof(text) - 1);

    text[size] = '\0';
    return text;
}

/* ---- tap ------------------------------------------------------------------------------------ */

static void test_tap(lunik_object *o)
{
    printf("# %s\n", lunik_object_type_name(o));
    notified = 0;
    attach(o, 0);
    tap = lunik_chardev_tap_iface(front.o);
    put("before ");
    check_uint("nothing is kept without an observer", tap->first(front.o), 7);
    check_string("nor read", kept_from(0), "");
    tap->set_notify(front.o, on_notify, NULL);
    put("it ");
    check_true("none is notified", !notified);
    check_int("keeps", tap->keep(front.o, 8, NULL), 0);
    check_int("the first size stays", tap->keep(front.o, 1000, NULL), 0);
    tap->set_notify(front.o, on_notify, NULL);
    put("abc");
    check_uint("what comes from now on", tap->first(front.o), 10);
    check_string("is kept", kept_from(10), "abc");
    settle();
    check_uint("notified once", notified, 1);
    put("defghijkl");
    check_uint("the oldest bytes go", tap->first(front.o), 14);
    check_string("as many as are kept", kept_from(14), "efghijkl");
    check_string("a part", kept_from(20), "kl");
    check_string("those that went are not read", kept_from(10), "");
    check_uint("total", tap->total(front.o), 22);
    check_uint("the same as written", get("written"), 22);
    delete ();
    check_uint("notified before it is deleted", notified, 2);
}

static void test_taps(void)
{
    test_tap(add("chardev-null", NULL, 0, &add_error));
    test_tap(ADD("chardev-file", LUNIK_FIELD_STRING("path", "/dev/null")));
    test_tap(ADD("chardev-socket", LUNIK_FIELD_STRING("path", path_of("socket"))));
}

/* ---- log ------------------------------------------------------------------------------------ */

static void test_log(void)
{
    const char *path = path_of("log");

    attach(ADD("chardev-null", LUNIK_FIELD_STRING("logfile", path)), 0);
    check_string("opened at once", slurp_file(path), "");
    put("one ");
    settle();
    check_string("written soon", slurp_file(path), "one ");
    put("two\n");
    delete ();
    check_string("and at the end", slurp_file(path), "one two\n");
    attach(ADD("chardev-buffer", LUNIK_FIELD_STRING("logfile", path),
               LUNIK_FIELD_BOOL("logappend", true)),
           0);
    put("three\n");
    delete ();
    check_string("appended", slurp_file(path), "one two\nthree\n");
    attach(ADD("chardev-null", LUNIK_FIELD_STRING("logfile", path)), 0);
    delete ();
    check_string("replaced", slurp_file(path), "");
    unlink(path);
}

/* The front end waits for a log that is full as for the target. */
static void test_full_log(void)
{
    size_t size;

    attach(ADD("chardev-null", LUNIK_FIELD_STRING("logfile", path_of("log"))), 0);
    size = fill(10 * CHARDEV_OUTPUT_SIZE);
    check_uint("as much as the log takes", size, CHARDEV_OUTPUT_SIZE);
    check_uint("is counted", get("written"), CHARDEV_OUTPUT_SIZE);
    check_uint("no more", put("x"), 0);
    settle();
    check_uint("then there is room", front.writable, 1);
    check_uint("for the rest", put("x"), 1);
    delete ();
    check_uint("all of it is there", (uint64_t)lseek(open(path_of("log"), O_RDONLY), 0, SEEK_END),
               CHARDEV_OUTPUT_SIZE + 1);
    unlink(path_of("log"));
}

static void test_failing_log(void)
{
    errors = 0;
    attach(ADD("chardev-buffer", LUNIK_FIELD_STRING("logfile", "/dev/full")), 0);
    put("lost");
    settle();
    put("lost");
    settle();
    check_uint("a full disk is one event", errors, 1);
    check_contains("which names the log", error_message, "logfile: no space left on device");
    check_uint("what the log lacks is counted", get("logdropped"), 8);
    check_uint("the device has it", get("dropped"), 0);
    delete ();

    check_true("no such folder", !ADD("chardev-null", LUNIK_FIELD_STRING("logfile", "/nowhere/x")));
    check_string("says which", add_error.message,
                 "chardev-null: logfile: can't open '/nowhere/x': no such file or directory");
    check_true("no file to append to", !ADD("chardev-null", LUNIK_FIELD_BOOL("logappend", true)));
    check_string("says so", add_error.message, "chardev-null: logappend: there is no logfile");
}

/* ---- break ---------------------------------------------------------------------------------- */

static void test_break(void)
{
    lunik_object *o = add("chardev-null", NULL, 0, &add_error);
    const lunik_chardev_ops *ops = lunik_chardev_iface(o);
    lunik_error err;

    check_int("without a front end", ops->send_break(o, &err), LUNIK_E_UNSUPPORTED);
    check_contains("says so", err.message, "no device to send a break to");
    attach(o, 0);
    check_int("to one that knows none", ops->send_break(o, &err), LUNIK_E_UNSUPPORTED);
    check_contains("says so", err.message, "knows no break");
    front.front.line_break = on_break;
    check_int("to one that does", ops->send_break(o, &err), 0);
    check_uint("it has one", breaks, 1);
    delete ();
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    setup();
    test_taps();
    test_log();
    test_full_log();
    test_failing_log();
    test_break();
    teardown();
    rmdir(dir);
    return check_result();
}
