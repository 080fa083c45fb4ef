/* types.h: the type of every device file, for builtin.c; each file defines the one it is named for.
 */
#ifndef DEVICES_TYPES_H
#define DEVICES_TYPES_H

#include "lunik_device.h"

/* Types that need a library which was there when this was built. */
#ifdef LUNIK_SLIRP
#define DEVICE_TYPE_SLIRP(X) X(netdev_user_type)
#else
#define DEVICE_TYPE_SLIRP(X)
#endif

/* X(symbol): a parent stands before its children. */
#define DEVICE_TYPE_MAP(X)                                                                         \
    X(memory_backend_type)                                                                         \
    X(memory_backend_ram_type)                                                                     \
    X(memory_backend_file_type)                                                                    \
    X(memory_backend_memfd_type)                                                                   \
    X(chardev_type)                                                                                \
    X(chardev_stdio_type)                                                                          \
    X(chardev_file_type)                                                                           \
    X(chardev_pty_type)                                                                            \
    X(chardev_socket_type)                                                                         \
    X(chardev_buffer_type)                                                                         \
    X(chardev_null_type)                                                                           \
    X(netdev_type)                                                                                 \
    X(netdev_socket_type)                                                                          \
    X(netdev_tap_type)                                                                             \
    X(netdev_lua_type)                                                                             \
    DEVICE_TYPE_SLIRP(X)                                                                           \
    X(blockdev_type)                                                                               \
    X(blockdev_file_type)                                                                          \
    X(blockdev_lua_type)                                                                           \
    X(iothread_type)                                                                               \
    X(ram_type)                                                                                    \
    X(i440fx_type)                                                                                 \
    X(piix3_type)                                                                                  \
    X(piix4_pm_type)                                                                               \
    X(pci_hotplug_type)                                                                            \
    X(pci_bridge_type)                                                                             \
    X(rng_builtin_type)                                                                            \
    X(rng_random_type)                                                                             \
    X(virtio_pci_type)                                                                             \
    X(virtio_rng_pci_type)                                                                         \
    X(virtio_balloon_pci_type)                                                                     \
    X(virtio_net_pci_type)                                                                         \
    X(virtio_blk_pci_type)                                                                         \
    X(virtio_mem_pci_type)                                                                         \
    X(pvpanic_pci_type)                                                                            \
    X(i6300esb_type)                                                                               \
    X(pvpanic_type)                                                                                \
    X(virtio_serial_pci_type)                                                                      \
    X(virtconsole_type)                                                                            \
    X(virtserialport_type)                                                                         \
    X(edu_type)                                                                                    \
    X(i8259_type)                                                                                  \
    X(ioapic_type)                                                                                 \
    X(i8254_type)                                                                                  \
    X(port92_type)                                                                                 \
    X(mc146818_type)                                                                               \
    X(i8042_type)                                                                                  \
    X(serial16550_type)                                                                            \
    X(debugcon_type)                                                                               \
    X(fw_cfg_type)                                                                                 \
    X(debug_exit_type)                                                                             \
    X(post_code_type)                                                                              \
    X(device_memory_type)                                                                          \
    X(memory_hotplug_type)                                                                         \
    X(pc_dimm_type)                                                                                \
    X(nvdimm_type)                                                                                 \
    X(acpi_nvdimm_type)                                                                            \
    X(cpu_hotplug_type)                                                                            \
    X(cpu_type)                                                                                    \
    X(cpu_qemu64_type)                                                                             \
    X(cpu_host_type)

#define DEVICE_TYPE_DECLARE(symbol) extern const lunik_type symbol;
DEVICE_TYPE_MAP(DEVICE_TYPE_DECLARE)
#undef DEVICE_TYPE_DECLARE

#endif
