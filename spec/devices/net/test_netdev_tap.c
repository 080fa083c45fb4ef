/* test_netdev_tap.c: a card on a tap device of the host: frames both ways, descriptors that are
 * given, several queues, wrong options. */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pci_rig.h"
#include "virtio_pci_driver.h"
#include "nic_driver.h"

enum { RX, TX };

static lunik_error err;
static struct nic n;
static const uint8_t no_header[NIC_HEADER];

static bool can_make(void)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    bool made = fd >= 0 && ioctl(fd, TUNSETIFF, &r) == 0;

    if (fd >= 0)
        close(fd);
    return made;
}

/* Sets a device up, and returns a socket that sends and sees its frames from the host's side. */
static int host_side(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = 0xffff};
    struct ifreq r = {0};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0xb588); /* 0x88b5, for experiments */

    snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &r))
        return -1;
    a.sll_ifindex = r.ifr_ifindex;
    a.sll_protocol = 0xb588;
    if (ioctl(fd, SIOCGIFFLAGS, &r))
        return -1;
    r.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &r) || bind(fd, (struct sockaddr *)&a, sizeof(a)))
        return -1;
    return fd;
}

static const char *name_of(lunik_object *o)
{
    lunik_value v = {0};

    must("ifname", lunik_object_get(o, "ifname", &v, &err), &err);
    return v.string;
}

static ssize_t recv_soon(int fd, void *to, size_t size)
{
    ssize_t got = -1;

    for (unsigned i = 0; i < 1000 && got < 0; i++) {
        nic_run(&n);
        got = recv(fd, to, size, 0);
    }
    return got;
}

static void exchange(const char *what)
{
    uint8_t frame[200], got[2000];
    int fd = host_side(name_of(n.back)), size = -1;

    if (fd < 0) {
        check_skip(what, "no right to send raw frames");
        return;
    }
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i + 0x10);
    memcpy(frame, "\x52\x54\0\x12\x34\x56\x02\0\0\0\0\x01\x88\xb5", 14);
    check_int(what, send(fd, frame, sizeof(frame), 0), sizeof(frame));
    for (unsigned i = 0; i < 200 && size != (int)sizeof(frame) + NIC_HEADER; i++) {
        if (nic_free(&n, RX)) /* other frames of the host also come */
            nic_buffer(&n, RX, 2000);
        nic_kick(&n, RX);
        nic_run(&n);
        size = nic_take(&n, RX, got, sizeof(got));
    }
    check_int("  the guest receives", size, (int)sizeof(frame) + NIC_HEADER);
    check_true("  what was sent", !memcmp(got + NIC_HEADER, frame, sizeof(frame)));
    memcpy(frame, "\x02\0\0\0\0\x01\x52\x54\0\x12\x34\x56\x88\xb5", 14);
    nic_send(&n, TX, no_header, frame, sizeof(frame), 3);
    nic_kick(&n, TX);
    check_int("  and sends", recv_soon(fd, got, sizeof(got)), sizeof(frame));
    check_true("  what it sent", !memcmp(got, frame, sizeof(frame)));
    close(fd);
}

static void test_named(bool headers)
{
    const lunik_field back[] = {LUNIK_FIELD_BOOL("vnet_hdr", headers)};

    nic_open(&n, "netdev-tap", back, 1, NULL, 0);
    check_uint("offloads as the device has them", vp_offered(&n.d) & 1, headers);
    nic_start(&n, headers ? 3 : 0, 2);
    exchange(headers ? "a new device, with headers" : "a new device");
    nic_close(&n);
}

static void test_given(void)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    lunik_field card[] = {LUNIK_FIELD_STRING("iothread", "io")};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    check_int("a device of the program", ioctl(fd, TUNSETIFF, &r), 0);
    lunik_field back[] = {LUNIK_FIELD_INT("fd", fd)};
    nic_open(&n, "netdev-tap", back, 1, card, 1);
    close(fd);
    check_string("a descriptor knows its device", name_of(n.back), r.ifr_name);
    nic_start(&n, 3, 2);
    exchange("a descriptor that was given, on an iothread");
    nic_close(&n);
}

static void test_queues(void)
{
    const lunik_field back[] = {LUNIK_FIELD_UINT("queues", 2)};
    const lunik_field card[] = {LUNIK_FIELD_BOOL("mq", true)};
    const uint8_t set[] = {4, 0, 2, 0};

    nic_open(&n, "netdev-tap", back, 1, card, 1);
    check_uint("two pairs", vp_get(&n.d, 4, 8, 2), 2);
    nic_start(&n, 1 << 22 | 1 << 17, 5);
    exchange("with one of two pairs");
    check_uint("the guest takes both", nic_command(&n, 4, set, sizeof(set)), 0);
    nic_close(&n);
}

static void refuse(const lunik_field *props, size_t count, const char *text)
{
    lunik_field all[4] = {LUNIK_FIELD_STRING("id", "net1")};

    for (size_t i = 0; i < count; i++)
        all[1 + i] = props[i];
    check_true(text, lunik_object_add(n.rig.m, "netdev-tap", all, count + 1, NULL, &err) < 0);
    check_contains("  says", err.message, text);
}

static void test_options(void)
{
    lunik_field both[] = {LUNIK_FIELD_STRING("ifname", "tap9"), LUNIK_FIELD_INT("fd", 3)};
    lunik_field name[] = {LUNIK_FIELD_STRING("ifname", "a-name-of-16-char")};
    lunik_field no_tap[] = {LUNIK_FIELD_INT("fd", 0)};
    lunik_field list[] = {LUNIK_FIELD_STRING("fds", "3;4")};
    lunik_field far[] = {LUNIK_FIELD_STRING("fds", "99999999999")};

    memset(&n, 0, sizeof(n));
    rig_make(&n.rig, LUNIK_ACCEL_NONE, false);
    refuse(both, 2, "ifname, fd and fds can't go together");
    refuse(name, 1, "ifname: 'a-name-of-16-char' is too long");
    refuse(no_tap, 1, "fd: '0' is not a tap device");
    refuse(list, 1, "fds: '3;4' is not a list of descriptors");
    refuse(far, 1, "fds: '99999999999' is not a tap device");
    nic_close(&n);
}

int main(void)
{
    test_options();
    if (can_make()) {
        test_named(false);
        test_named(true);
        test_given();
        test_queues();
    } else {
        check_skip("tap", "no right to make a device");
    }
    return check_result();
}
