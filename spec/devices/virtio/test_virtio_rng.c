/* test_virtio_rng.c: the entropy device: sources, quota, requests that wait, saved state. */
#include <stdlib.h>
#include <unistd.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"

enum { AT = PCI_DEVFN(5, 0), MS = 1000000 };

static lunik_error err;
static struct rig rig;
static struct vp d;
static lunik_object *rng;
static char path[] = "/tmp/lunik-rng-XXXXXX";

static void begin(const lunik_field *more, unsigned count)
{
    lunik_field props[8] = {LUNIK_FIELD_STRING("id", "rng"), LUNIK_FIELD_STRING("bus", "host"),
                            LUNIK_FIELD_STRING("addr", "5")};
    const lunik_field file[] = {LUNIK_FIELD_STRING("id", "file"),
                                LUNIK_FIELD_STRING("filename", path)};
    const lunik_field id[] = {LUNIK_FIELD_STRING("id", "builtin")};

    for (unsigned i = 0; i < count; i++)
        props[3 + i] = more[i];
    rig_make(&rig, LUNIK_ACCEL_NONE, true);
    vp_memory(&rig);
    must("file", lunik_object_add(rig.m, "rng-random", file, 2, NULL, &err), &err);
    must("builtin", lunik_object_add(rig.m, "rng-builtin", id, 1, NULL, &err), &err);
    must("io",
         lunik_object_add(rig.m, "iothread", (lunik_field[]){LUNIK_FIELD_STRING("id", "io")}, 1,
                          NULL, &err),
         &err);
    must("rng", lunik_device_add(rig.m, "virtio-rng-pci", props, 3 + count, &rng, &err), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    vp_probe(&d, &rig, AT);
    vp_start(&d, VP_VERSION_1, 1);
}

static void ask(uint32_t size)
{
    for (unsigned i = 0; i < 64; i += 8)
        vp_store(&d, vp_data(0) + 0x1000 + i, 8, 0);
    vp_send(&d, 0, 0, size);
    vp_kick(&d, 0);
}

static uint64_t word(unsigned i)
{
    return load(&rig, vp_data(0) + 0x1000 + 8 * i, 8);
}

static void test_kernel(const char *source, const char *thread)
{
    const lunik_field props[] = {LUNIK_FIELD_STRING("rng", source),
                                 LUNIK_FIELD_STRING("iothread", thread)};
    uint32_t written = 0;

    begin(source ? props : props + 1, source ? 2 : thread != NULL);
    check_uint("device", vp_config(&d, 0, 4), 0x10441af4);
    check_uint("queues", vp_get(&d, 1, 0x12, 2), 1);
    ask(64);
    check_true("an answer", vp_wait_used(&d, 0, &written));
    check_uint("of all bytes", written, 64);
    check_true("that differ", word(0) != word(1) && word(1) != word(2) && word(7) != 0);
    rig_close(&rig);
}

static void write_file(const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);

    fputs(text, f);
    fclose(f);
}

static void pass(uint64_t ns)
{
    must("clock", lunik_clock_advance(rig.m, ns, &err), &err);
    for (unsigned i = 0; i < 5; i++)
        lunik_run_timeout(rig.rt, 1);
}

static void test_file(void)
{
    const lunik_field source[] = {LUNIK_FIELD_STRING("rng", "file")};
    uint32_t written = 0;

    write_file("w", "0123456789");
    begin(source, 1);
    ask(8);
    check_true("bytes of the file", vp_wait_used(&d, 0, &written));
    check_uint("  are these", word(0), UINT64_C(0x3736353433323130));
    ask(8);
    check_true("its end", vp_wait_used(&d, 0, &written));
    check_uint("  is a short answer", written, 2);
    ask(8);
    pass(100 * MS);
    check_true("beyond it a request waits", !vp_used(&d, 0, &written));
    write_file("a", "abc");
    pass(100 * MS);
    check_true("until there is more", vp_wait_used(&d, 0, &written));
    check_uint("  bytes", written, 3);
    rig_close(&rig);
}

static void test_quota(void)
{
    const lunik_field props[] = {LUNIK_FIELD_UINT("max-bytes", 48),
                                 LUNIK_FIELD_UINT("period", 1000)};
    lunik_state_buffer saved = {0};
    uint32_t written = 0;

    begin(props, 2);
    ask(32);
    check_true("within the quota", vp_wait_used(&d, 0, &written));
    ask(32);
    check_true("the rest of it", vp_wait_used(&d, 0, &written));
    check_uint("  bytes", written, 16);
    ask(32);
    pass(900 * (uint64_t)MS);
    check_true("no more in this period", !vp_used(&d, 0, &written));
    must("pause", lunik_machine_pause(rig.m, &err), &err);
    must("save", lunik_object_save(rng, &saved, &err), &err);
    must("reset", lunik_machine_reset(rig.m, &err), &err);
    must("load", lunik_object_load(rng, saved.data, saved.size, &err), &err);
    must("start", lunik_machine_start(rig.m, &err), &err);
    pass(50 * MS);
    check_true("nor after it was saved", !vp_used(&d, 0, &written));
    pass(60 * MS);
    check_true("in the next one", vp_wait_used(&d, 0, &written));
    check_uint("  bytes", written, 32);
    lunik_state_buffer_free(&saved);
    rig_close(&rig);
}

static void test_bad(void)
{
    lunik_field file[] = {LUNIK_FIELD_STRING("id", "x"),
                          LUNIK_FIELD_STRING("filename", "/nowhere/at/all")};

    begin(NULL, 0);
    vp_send(&d, 0, 8, 0);
    vp_kick(&d, 0);
    check_true("no room for bytes: a reset is needed", vp_wait(&d, 0x14, 1, VP_READY | 64));
    check_true("no file", lunik_object_add(rig.m, "rng-random", file, 2, NULL, &err) < 0);
    check_contains("  by name", err.message, "filename: can't open '/nowhere/at/all'");
    file[1] = (lunik_field)LUNIK_FIELD_STRING("filename", "/tmp");
    check_int("a directory", lunik_object_add(rig.m, "rng-random", file, 2, NULL, &err),
              LUNIK_E_INVALID);
    rig_close(&rig);
}

int main(void)
{
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    test_kernel(NULL, NULL);
    test_kernel("builtin", "io");
    test_file();
    test_quota();
    test_bad();
    unlink(path);
    return check_result();
}
