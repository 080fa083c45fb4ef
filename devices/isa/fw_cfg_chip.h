/*
 * fw_cfg_chip.h: the firmware configuration interface apart from its bus: items that are selected
 * by a number and read byte by byte or by DMA, and the directory of those that have names.
 */
#ifndef ISA_FW_CFG_CHIP_H
#define ISA_FW_CFG_CHIP_H

#include "lunik_device.h"

/* Numbers of items. */
#define FW_CFG_SIGNATURE    0x0000
#define FW_CFG_ID           0x0001
#define FW_CFG_UUID         0x0002
#define FW_CFG_RAM_SIZE     0x0003
#define FW_CFG_NOGRAPHIC    0x0004
#define FW_CFG_CPUS         0x0005
#define FW_CFG_NUMA         0x000d
#define FW_CFG_BOOT_MENU    0x000e
#define FW_CFG_CPUS_MAX     0x000f
#define FW_CFG_DIRECTORY    0x0019
#define FW_CFG_FILE_FIRST   0x0020 /* items with names */
#define FW_CFG_FILE_LAST    0x03ff
#define FW_CFG_WRITE        0x4000 /* has no meaning any more */
#define FW_CFG_ARCHITECTURE 0x8000 /* another set of numbers */
#define FW_CFG_KEY_LAST     0xbfff

#define FW_CFG_ID_TRADITIONAL 1u
#define FW_CFG_ID_DMA         2u

/* The directory: the number of its entries (32 bits, big-endian), then of each the size (32 bits),
 * the number (16 bits), two reserved bytes, and the name with a zero byte. */
#define FW_CFG_ENTRY_SIZE 64

/* Bits of the first word of a DMA operation's descriptor; its upper half selects an item
 * before that. Once it is done the word is 0, or has FW_CFG_DMA_ERROR. */
#define FW_CFG_DMA_ERROR  0x01u
#define FW_CFG_DMA_READ   0x02u
#define FW_CFG_DMA_SKIP   0x04u
#define FW_CFG_DMA_SELECT 0x08u
#define FW_CFG_DMA_WRITE  0x10u
/* The descriptor, big-endian: control, length (32 bits each), address (64 bits). */
#define FW_CFG_DMA_DESCRIPTOR 16

/* Bytes behind the end of an item read as zeros; an operation that asks for more of them than
 * this fails, so that none keeps the machine busy for long. */
#define FW_CFG_ZEROS_MAX (1u << 20)

/* Bytes that a DMA operation may be copying while others take their place. */
struct fw_cfg_bytes {
    unsigned refs;
    size_t size;
    uint8_t data[];
};

struct fw_cfg_item {
    uint16_t key;
    char name[LUNIK_FW_CFG_NAME_SIZE]; /* empty: the item has only a number */
    struct fw_cfg_bytes *bytes;
    lunik_fw_cfg_source source;
};

/* Guest memory; each returns 0 or an error. */
struct fw_cfg_memory {
    int (*read)(void *opaque, uint64_t address, void *buf, size_t size);
    int (*write)(void *opaque, uint64_t address, const void *buf, size_t size);
    void *opaque;
};

/* Embed it, zeroed. */
struct fw_cfg_chip {
    struct fw_cfg_memory memory;
    struct fw_cfg_item **items; /* in the order in which they were added */
    size_t count, room;
    uint32_t files;                 /* items that have names */
    struct fw_cfg_bytes *directory; /* as it was when the guest selected it; may be NULL */
    uint16_t key;                   /* the item that is selected */
    struct fw_cfg_item *current;    /* NULL: the directory, or there is no such item */
    uint32_t offset;
    uint64_t dma_address;
    bool busy; /* a DMA operation is under way */
};

/* State of the registers. Items are not saved; there must be as many of them. */
extern const lunik_state_table fw_cfg_chip_state;

/* Adds an item: with a name, then key is not looked at, or with a number. *source may ask to be
 * called; data is copied. */
int fw_cfg_add(struct fw_cfg_chip *c, const char *name, uint16_t key,
               const lunik_fw_cfg_source *source, lunik_error *err);
/* Replaces the contents of an item. */
int fw_cfg_set(struct fw_cfg_chip *c, const char *name, uint16_t key, const void *data, size_t size,
               lunik_error *err);
/* Brings an item up to date and returns its contents; NULL: there is no such item. */
const void *fw_cfg_find(struct fw_cfg_chip *c, const char *name, uint16_t key, size_t *size);
/* Returns the name of the file with that index, in the order of addition; NULL: there are no more.
 */
const char *fw_cfg_file_name(const struct fw_cfg_chip *c, size_t index);

/* Returns an item by its name, or its number; NULL: there is none. */
struct fw_cfg_item *fw_cfg_item(const struct fw_cfg_chip *c, const char *name, uint16_t key);
/* Brings the items that can be asked up to date and makes the directory; without memory there is
 * none. */
void fw_cfg_list(struct fw_cfg_chip *c);
/* Drops a reference; bytes may be NULL. */
void fw_cfg_bytes_put(struct fw_cfg_bytes *bytes);

void fw_cfg_chip_reset(struct fw_cfg_chip *c);
/* Removes all items. */
void fw_cfg_chip_free(struct fw_cfg_chip *c);

void fw_cfg_select(struct fw_cfg_chip *c, uint16_t key);
/* Returns the next byte of the item that is selected; 0 behind its end. */
uint8_t fw_cfg_next(struct fw_cfg_chip *c);

/* The two registers of the DMA interface: the address of a descriptor, 8 bytes, big-endian. Writing
 * the lower half starts the operation, which is done when this returns. offset and size are valid:
 * 4 bytes at 0 or 4, or 8 at 0. value is as the processor has it. */
void fw_cfg_dma_write(struct fw_cfg_chip *c, unsigned offset, unsigned size, uint64_t value);
/* Reads the signature, 1 to 8 bytes. */
uint64_t fw_cfg_dma_read(unsigned offset, unsigned size);

#endif
