/* hold.h: shared by hold.c and bare_hold.c: a memslot that changes while vCPUs read it. */
#ifndef BENCH_HOLD_H
#define BENCH_HOLD_H

enum {
    HOLD_PAGE = 0x1000,
    HOLD_DATA = 0x8000, /* the memslot that becomes read-only and writable again */
    HOLD_TURNS = 200,
};
#define HOLD_CODE 0xfffff000u /* the page with the reset vector */

/* At the reset vector, in real mode: again: mov ax, [HOLD_DATA]; jmp again */
#define HOLD_LOOP                                                                                  \
    {                                                                                              \
        0xa1, HOLD_DATA & 0xff, HOLD_DATA >> 8, 0xeb, 0xfb                                         \
    }

#endif
