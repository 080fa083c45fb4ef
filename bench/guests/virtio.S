/* virtio.S: the guest that drives virtio devices. */
#define PAYLOAD_FILE "virtio.payload"
#include "user_guest.h"
