/*
 * fuzz_pci.c: PCI configuration cycles on the pc board and on an additional function with BARs.
 * -max_len=512 -runs=450
 *
 * A function's registers keep the values written to their writable bits, for any size of access; no
 * other function changes; memory and ports are mapped as the registers say; no vector of MSI and
 * MSI-X is pending that may be sent.
 */
#include "devices/pci/pci.h"
#include "board.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc, TEST_DEVFN = PCI_DEVFN(5, 2) };
enum { FUNCTIONS = 4 };

static const uint8_t devfns[FUNCTIONS] = {PCI_DEVFN(0, 0), PCI_DEVFN(1, 0), PCI_DEVFN(1, 3),
                                          TEST_DEVFN};

/* The expected configuration space of a function, and the bits that can be changed. */
struct shadow {
    uint8_t config[LUNIK_PCI_CONFIG_SIZE], writable[LUNIK_PCI_CONFIG_SIZE],
        constant[LUNIK_PCI_CONFIG_SIZE];
};

static struct shadow shadows[FUNCTIONS];
static bool learnt;
static lunik_pci_function extra;
static lunik_region *extra_bars[3];

/* ---- configuration cycles ------------------------------------------------------------------- */

static void select_register(uint8_t devfn, unsigned offset)
{
    port_out(PORT_ADDRESS, 4, 0x80000000u | (uint32_t)devfn << 8 | (offset & 0xfc));
}

static uint32_t config_in(uint8_t devfn, unsigned offset, unsigned size)
{
    select_register(devfn, offset);
    return port_in((uint16_t)(PORT_DATA + (offset & 3)), size);
}

static void config_out(uint8_t devfn, unsigned offset, unsigned size, uint32_t value)
{
    select_register(devfn, offset);
    port_out((uint16_t)(PORT_DATA + (offset & 3)), size, value);
}

/* ---- vectors -------------------------------------------------------------------------------- */

enum { MSI_VECTORS = 16, MSIX_VECTORS = 66, MSIX_BAR = 4, MSIX_PBA = 0x800 };

static void add_vectors(void)
{
    lunik_error err = {0};

    fuzz_must(lunik_pci_msi_init(&extra, MSI_VECTORS, LUNIK_PCI_MSI_MASK, 0, &err), err);
    fuzz_must(lunik_pci_msix_init(&extra, MSIX_VECTORS, MSIX_BAR, 0, MSIX_PBA, 0, &err), err);
}

static unsigned msi_pending(void)
{
    return lunik_pci_capability_find(&extra, LUNIK_PCI_CAP_MSI) + 16;
}

/* Nothing waits that may be sent. */
static void check_vectors(void)
{
    unsigned msi = lunik_pci_capability_find(&extra, LUNIK_PCI_CAP_MSI);
    unsigned msix = lunik_pci_capability_find(&extra, LUNIK_PCI_CAP_MSIX);
    bool master = extra.config[LUNIK_PCI_COMMAND] & LUNIK_PCI_COMMAND_MASTER;
    unsigned given = extra.config[msi + 2] >> 4 & 7;
    uint32_t waiting = lunik_pci_get_long(extra.config, msi_pending());

    fuzz_check(!(waiting >> MSI_VECTORS), "MSI: 0x%x is pending", waiting);
    waiting &= ~lunik_pci_get_long(extra.config, msi + 12);
    waiting &= (UINT32_C(1) << (1u << (given > 4 ? 4 : given))) - 1;
    fuzz_check(!master || !(extra.config[msi + 2] & 1) || !waiting, "MSI: 0x%x waits", waiting);
    for (unsigned v = 0; v < 128; v++) {
        bool pending = extra.msix_pending[v / 64] >> v % 64 & 1;
        bool open = master && extra.config[msix + 3] >> 6 == 2;

        fuzz_check(!pending || v < MSIX_VECTORS, "MSI-X: vector %u is pending", v);
        fuzz_check(!pending || !open || extra.msix_table[4 * v + 3] & 1, "MSI-X: %u waits", v);
    }
}

/* The table, where the guest has put it. */
static void access_table(void)
{
    const lunik_region *bar = extra.bars[MSIX_BAR].region;
    unsigned offset = (unsigned)fuzz_number(2) & 0xfff, size = 1u << fuzz_below(4);
    uint64_t value = fuzz_number(size);

    if (!lunik_region_parent(bar))
        return;
    board_store(board_memory, lunik_region_offset(bar) + offset, size, value);
    board_load(board_memory, lunik_region_offset(bar) + offset, size);
}

/* ---- the function with BARs ----------------------------------------------------------------- */

static const struct {
    lunik_pci_bar_kind kind;
    unsigned index;
    uint64_t size;
} bars[3] = {{LUNIK_PCI_BAR_IO, 0, 0x20},
             {LUNIK_PCI_BAR_MEM32, 1, 0x1000},
             {LUNIK_PCI_BAR_MEM64, 2, 0x100000}};

static void add_extra(void)
{
    lunik_object *host = lunik_object_find(board, "i440fx");
    const lunik_pci_bus_ops *ops = lunik_pci_bus_iface(host);
    lunik_error err = {0};

    lunik_pci_function_init(&extra, host, 0x1234, 0x5678, 1, 0xff0000);
    extra.initial[LUNIK_PCI_INTERRUPT_PIN] = 3;
    for (unsigned i = 0; i < 3; i++) {
        const lunik_region_config config = {
            .kind = LUNIK_REGION_RESERVED, .name = "bar", .size = bars[i].size};

        fuzz_must(lunik_region_new(board, &config, &extra_bars[i], &err), err);
        fuzz_must(lunik_pci_bar_init(&extra, bars[i].index, bars[i].kind, extra_bars[i], &err),
                  err);
    }
    add_vectors();
    fuzz_must(pci_bus_add(ops->bus(host), &extra, TEST_DEVFN, &err), err);
}

static void drop_extra(void)
{
    lunik_pci_device_remove(&extra);
    for (unsigned i = 0; i < 3; i++) {
        fuzz_check(!lunik_region_parent(extra_bars[i]), "BAR %u is still mapped", i);
        lunik_region_unref(extra_bars[i]);
    }
}

/* A BAR decodes where its register says, if the command register lets it. */
static void check_bars(void)
{
    const uint8_t *config = shadows[3].config;
    uint16_t command = lunik_pci_get_word(config, LUNIK_PCI_COMMAND);

    for (unsigned i = 0; i < 3; i++) {
        unsigned offset = LUNIK_PCI_BAR0 + 4 * bars[i].index;
        uint64_t address = lunik_pci_get_long(config, offset), size = bars[i].size;
        uint64_t limit = i == 0 ? 0x10000 : i == 1 ? 0xffffffff : UINT64_MAX;
        bool mapped;

        if (i == 2)
            address |= (uint64_t)lunik_pci_get_long(config, offset + 4) << 32;
        address &= -size;
        mapped = command & (i == 0 ? LUNIK_PCI_COMMAND_IO : LUNIK_PCI_COMMAND_MEMORY) && address &&
                 address <= limit - size;
        fuzz_check(mapped == (lunik_region_parent(extra_bars[i]) != NULL),
                   "BAR %u at 0x%" PRIx64 ", command 0x%x: mapped %d", i, address, command,
                   !mapped);
        fuzz_check(!mapped || lunik_region_offset(extra_bars[i]) == address,
                   "BAR %u is at 0x%" PRIx64 ", want 0x%" PRIx64, i,
                   lunik_region_offset(extra_bars[i]), address);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

static void read_all(unsigned f)
{
    for (unsigned i = 0; i < LUNIK_PCI_CONFIG_SIZE; i += 4)
        lunik_pci_set_long(shadows[f].config, i, config_in(devfns[f], i, 4));
}

/* Finds out once which bits can be changed: those that become zero, and one. */
static void learn(void)
{
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        for (unsigned i = 0; i < LUNIK_PCI_CONFIG_SIZE; i++) {
            uint8_t zeros, ones;

            config_out(devfns[f], i, 1, 0);
            zeros = (uint8_t)config_in(devfns[f], i, 1);
            config_out(devfns[f], i, 1, 0xff);
            ones = (uint8_t)config_in(devfns[f], i, 1);
            shadows[f].writable[i] = ones & ~zeros;
            shadows[f].constant[i] = ones & zeros;
        }
        fuzz_check(!lunik_pci_get_long(shadows[f].writable, 0), "identification can be changed");
    }
    learnt = true;
}

static void check_all(void)
{
    for (unsigned f = 0; f < FUNCTIONS; f++)
        for (unsigned i = 0; i < LUNIK_PCI_CONFIG_SIZE; i += 4) {
            uint32_t got = config_in(devfns[f], i, 4),
                     want = lunik_pci_get_long(shadows[f].config, i);

            fuzz_check(got == want, "%x.%x: 0x%x holds 0x%x, want 0x%x", devfns[f] >> 3,
                       devfns[f] & 7, i, got, want);
        }
}

static uint8_t pam_ram[13]; /* a byte of the RAM that each segment may show */

/* Reads and writes go to RAM, each as its bit says; or else to PCI, where a BAR may be. */
static void access_segment(unsigned i, uint64_t address, uint8_t bits)
{
    static uint8_t value;
    uint8_t got;

    board_store(board_memory, address, 1, ++value);
    if (bits & 2)
        pam_ram[i] = value;
    got = (uint8_t)board_load(board_memory, address, 1);
    fuzz_check(!(bits & 1) || got == pam_ram[i], "0x%" PRIx64 " reads 0x%x, want 0x%x", address,
               got, pam_ram[i]);
}

/* Each segment of 0xc0000-0xfffff shows RAM as the two bits for it say. */
static void check_pam(void)
{
    const uint8_t *config = shadows[0].config;

    for (unsigned i = 0; i < 13; i++) {
        uint8_t bits = i == 12 ? config[0x59] >> 4 : config[0x5a + i / 2] >> (i % 2 ? 4 : 0);
        uint64_t address = 0xc0000 + 0x4000 * i;
        lunik_section s = {0};
        bool found = lunik_space_find(board_memory, address, &s);

        fuzz_check((found && s.romd) == (bits & 1), "0x%" PRIx64 ": attributes %u", address,
                   bits & 3);
        fuzz_check(!(bits & 1) || s.readonly == !(bits & 2), "0x%" PRIx64 ": attributes %u",
                   address, bits & 3);
        access_segment(i, address, bits);
    }
}

/* ---- operations ----------------------------------------------------------------------------- */

/* An access within a dword, aligned or not. */
static void access_register(void)
{
    unsigned f = fuzz_below(FUNCTIONS), size = 1u << fuzz_below(3);
    unsigned offset = fuzz_byte();
    uint32_t value;

    if ((offset & 3) + size > 4)
        offset &= ~(size - 1);

    if (fuzz_byte() & 1) {
        value = config_in(devfns[f], offset, size);
        for (unsigned i = 0; i < size; i++)
            fuzz_check((uint8_t)(value >> 8 * i) == shadows[f].config[offset + i],
                       "0x%x in %u bytes at 0x%x", value, size, offset);
        return;
    }
    value = (uint32_t)fuzz_number(size);
    config_out(devfns[f], offset, size, value);
    for (unsigned i = 0; i < size; i++) {
        const uint8_t w = shadows[f].writable[offset + i];

        shadows[f].config[offset + i] =
            (uint8_t)((value >> 8 * i & w) | (shadows[f].config[offset + i] & ~w));
    }
    if (f == FUNCTIONS - 1) /* what waited may have been sent */
        lunik_pci_set_long(shadows[f].config, msi_pending(),
                           config_in(devfns[f], msi_pending(), 4));
}

/* Functions that are not there. */
static void access_nothing(void)
{
    uint32_t address = (uint32_t)fuzz_number(4);

    for (unsigned f = 0; f < FUNCTIONS; f++)
        if ((address & 0x80ffff00) == (0x80000000u | (uint32_t)devfns[f] << 8))
            return;
    port_out(PORT_ADDRESS, 4, address);
    port_out(PORT_DATA, 4, (uint32_t)fuzz_number(4));
    fuzz_check(port_in(PORT_DATA, 4) == UINT32_MAX, "0x%x is there", address);
}

/* Anything at the ports, as a guest may do it. */
static void access_ports(void)
{
    uint16_t port = (uint16_t)(PORT_ADDRESS - 4 + fuzz_below(16));
    unsigned size = 1u << fuzz_below(4);

    if (fuzz_byte() & 1)
        board_store(board_ports, port, size, fuzz_number(size));
    else
        board_load(board_ports, port, size);
    for (unsigned f = 0; f < FUNCTIONS; f++)
        read_all(f);
}

static void operate(void)
{
    switch (fuzz_byte() % 16) {
    case 0:
        access_nothing();
        break;
    case 1:
        access_ports();
        break;
    case 2:
        board_reset();
        lunik_pci_function_reset(&extra); /* no device of the board's resets it */
        for (unsigned f = 0; f < FUNCTIONS; f++)
            read_all(f);
        break;
    case 3:
        lunik_pci_intx_set(&extra, fuzz_byte() & 1);
        read_all(3);
        break;
    case 4:
        lunik_pci_vector_send(&extra, fuzz_byte());
        read_all(3);
        break;
    case 5:
        access_table();
        break;
    default:
        access_register();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(data, size);
    board_open("memory = '2M', acpi = false");
    add_extra();
    if (!learnt)
        learn();
    board_reset();
    lunik_pci_function_reset(&extra);
    memset(pam_ram, 0, sizeof(pam_ram));
    for (unsigned f = 0; f < FUNCTIONS; f++)
        read_all(f);
    while (fuzz_more()) {
        operate();
        check_bars();
        check_vectors();
        check_pam();
    }
    check_all();
    drop_extra();
    board_close();
    return 0;
}
