/* idle.S: reports that it runs, then sleeps for ever. */
#include "guest.h"

    GUEST_BEGIN
main:
    movb $'\n', %al
    outb %al, $REPORT_PORT
    GUEST_END
