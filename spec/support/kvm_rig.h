/* kvm_rig.h: guests of a few real-mode instructions, for tests of what needs KVM. */
#ifndef SPEC_KVM_RIG_H
#define SPEC_KVM_RIG_H

#include <unistd.h>

#include "machine_rig.h"

enum { CODE = 0x9000, RESET_VECTOR = 0xfffffff0 };

/* Instructions, for an array of bytes; a jump's distance counts from its end. */
#define LOW(value)         ((uint8_t)(value))
#define LOW_HIGH(value)    LOW(value), LOW((value) >> 8)
#define XOR_EAX            0x66, 0x31, 0xc0                    /* xor eax, eax */
#define INC_EAX            0x66, 0x40                          /* inc eax */
#define CMP_EAX(value)     0x66, 0x3d, LOW_HIGH(value), 0, 0   /* cmp eax, value */
#define STORE_EAX(address) 0x66, 0xa3, LOW_HIGH(address)       /* mov [address], eax */
#define LOAD_EAX(address)  0x66, 0xa1, LOW_HIGH(address)       /* mov eax, [address] */
#define INC(address)       0x66, 0xff, 0x06, LOW_HIGH(address) /* inc dword [address] */
#define CMP_ZERO(address)  0x80, 0x3e, LOW_HIGH(address), 0    /* cmp byte [address], 0 */
#define MOV_DX(value)      0xba, LOW_HIGH(value)               /* mov dx, value */
#define ADD_DX(value)      0x83, 0xc2, LOW(value)              /* add dx, value */
#define SUB_DX(value)      0x83, 0xea, LOW(value)              /* sub dx, value */
#define OUT_AL             0xee                                /* out dx, al */
#define OUT_EAX            0x66, 0xef                          /* out dx, eax */
#define CLD                0xfc                                /* cld */
#define REP_MOVSB          0xf3, 0xa4                          /* rep movsb */
#define REP_LODSB          0xf3, 0xac                          /* rep lodsb */
#define MOV_SI(value)      0xbe, LOW_HIGH(value)               /* mov si, value */
#define MOV_DI(value)      0xbf, LOW_HIGH(value)               /* mov di, value */
#define MOV_CX(value)      0xb9, LOW_HIGH(value)               /* mov cx, value */
#define JE(distance)       0x74, LOW(distance)
#define JNE(distance)      0x75, LOW(distance)
#define JMP(distance)      0xeb, LOW(distance)
#define STOP               JMP(-2)

/* Whether there is KVM; where not, says what is skipped. */
static inline bool check_kvm(const char *skipped)
{
    bool there = access("/dev/kvm", R_OK | W_OK) == 0;

    if (!there)
        check_skip(skipped, "no /dev/kvm");
    return there;
}

/* A ROM with the guest's first instruction, a jump to CODE. The machine keeps it. */
static inline void add_reset_vector(void)
{
    static const uint8_t far_jump[] = {0xea, LOW_HIGH(CODE), 0, 0};
    lunik_region *rom = ram_region_of(
        (lunik_region_config){.kind = LUNIK_REGION_ROM, .name = "vector", .size = 0x1000});

    memcpy(rom->host + (RESET_VECTOR & 0xfff), far_jump, sizeof(far_jump));
    lunik_region_unref(add_to(m->memory_space, RESET_VECTOR & ~0xfffull, rom, 0));
}

/* Returns the word that the guest has written there. */
static inline uint32_t guest_word(const lunik_region *ram, unsigned at)
{
    return __atomic_load_n((uint32_t *)(ram->host + at), __ATOMIC_RELAXED);
}

/* How often vCPUs had to be kept out of the guest. */
static inline uint64_t holds(void)
{
    lunik_machine_stats stats;

    lunik_machine_get_stats(m, &stats);
    return stats.holds;
}

#endif
