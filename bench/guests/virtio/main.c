/* main.c: finds the device and measures it. */
#include "guest.h"

void guest_main(void)
{
    struct device d = {0};

    if (device_find(VIRTIO_BLK, &d))
        measure_disk(&d);
    else if (device_find(VIRTIO_NET, &d))
        measure_network(&d);
    else
        fail();
}
