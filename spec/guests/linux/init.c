/*
 * /init for the Linux guest: spins in ring 3, without a system call, so that it also runs where
 * KVM can't serve system calls. The guest is watched through its kernel log.
 *
 * gcc -O1 -nostdlib -static -fno-pic -no-pie -fno-stack-protector -fcf-protection=none
 */
void _start(void);

void _start(void)
{
    for (;;)
        __asm__ volatile("pause");
}
