/* plug.S: the guest that accepts PCI devices and processors. */
#define PAYLOAD_FILE "plug.payload"
#include "user_guest.h"
