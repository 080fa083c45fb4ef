/* i8042_regs.h: registers, commands and answers of the keyboard controller and its devices. */
#ifndef ISA_I8042_REGS_H
#define ISA_I8042_REGS_H

/* Status register. */
#define STATUS_FULL     0x01 /* output buffer full */
#define STATUS_SYSTEM   0x04 /* the self test has passed */
#define STATUS_COMMAND  0x08 /* the last write was to port 0x64 */
#define STATUS_UNLOCKED 0x10
#define STATUS_MOUSE    0x20 /* the output buffer is the mouse's */

/* Command byte: ram[0]. */
#define CB_KEYBOARD_IRQ 0x01
#define CB_MOUSE_IRQ    0x02
#define CB_SYSTEM       0x04
#define CB_KEYBOARD_OFF 0x10
#define CB_MOUSE_OFF    0x20
#define CB_TRANSLATE    0x40

/* Commands at port 0x64. */
#define CMD_READ_RAM          0x20 /* to 0x3f */
#define CMD_WRITE_RAM         0x60 /* to 0x7f */
#define CMD_MOUSE_OFF         0xa7
#define CMD_MOUSE_ON          0xa8
#define CMD_TEST_MOUSE        0xa9
#define CMD_SELF_TEST         0xaa
#define CMD_TEST_KEYBOARD     0xab
#define CMD_KEYBOARD_OFF      0xad
#define CMD_KEYBOARD_ON       0xae
#define CMD_READ_INPUT_PORT   0xc0
#define CMD_READ_OUTPUT_PORT  0xd0
#define CMD_WRITE_OUTPUT_PORT 0xd1
#define CMD_LOOP_KEYBOARD     0xd2 /* the byte comes back as if from the keyboard */
#define CMD_LOOP_MOUSE        0xd3
#define CMD_WRITE_MOUSE       0xd4
#define CMD_A20_OFF           0xdd
#define CMD_A20_ON            0xdf
#define CMD_READ_TEST         0xe0
#define CMD_PULSE             0xf0 /* to 0xff: pulses the output port bits that are 0 */

#define SELF_TEST_PASSED 0x55
#define TEST_PASSED      0x00
#define INPUT_PORT       0xb0 /* keyboard not locked, manufacturing jumper not installed, 512K */

#define OUTPUT_RESET 0x01 /* active low */
#define OUTPUT_A20   0x02

/* Commands to the devices and their answers. */
#define DEV_SET_LEDS     0xed
#define DEV_ECHO         0xee
#define DEV_SCANCODE_SET 0xf0
#define DEV_IDENTIFY     0xf2
#define DEV_RATE         0xf3
#define DEV_ENABLE       0xf4
#define DEV_DISABLE      0xf5
#define DEV_DEFAULTS     0xf6
#define DEV_ALL_KEYS     0xf7 /* to 0xfa: typematic, make, break for all keys */
#define DEV_ONE_KEY      0xfb /* to 0xfd: the same for the keys that follow */
#define DEV_RESEND       0xfe
#define DEV_RESET        0xff

#define MOUSE_SCALE_1    0xe6
#define MOUSE_SCALE_2    0xe7
#define MOUSE_RESOLUTION 0xe8
#define MOUSE_STATUS     0xe9
#define MOUSE_STREAM     0xea
#define MOUSE_READ       0xeb
#define MOUSE_UNWRAP     0xec
#define MOUSE_WRAP       0xee
#define MOUSE_REMOTE     0xf0

#define ANSWER_ACK    0xfa
#define ANSWER_RESEND 0xfe
#define ANSWER_PASSED 0xaa

#define KEYBOARD_ID_1            0xab
#define KEYBOARD_ID_2            0x83
#define KEYBOARD_ID_2_TRANSLATED 0x41
#define MOUSE_ID                 0x00

#define AS_MOUSE 0x100 /* in the controller's queue: the byte looks like the mouse's */

#endif
