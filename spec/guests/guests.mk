# guests.mk: the project's own small guests, for the demo, the specs and the benchmarks.
#
#   small.elf            PVH
#   small-multiboot.elf  Multiboot, 32-bit ELF
#   small-multiboot.bin  Multiboot, flat, load addresses in the header
#   small.bzimage        Linux boot protocol, 64-bit entry
#   small32.bzimage      Linux boot protocol, 32-bit entry only
#   firmware.bin         16-bit code at the reset vector
#   agent                a program for Linux, as /init or on a host (agent/main.c)

GUEST_CC     ?= gcc
GUEST_DIR     = $(BUILD)/guests
GUEST_CFLAGS  = -m64 -march=x86-64 -O2 -std=gnu11 -ffreestanding -fno-builtin -fno-pic -fno-pie \
                -mcmodel=small -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
                -fcf-protection=none -fno-asynchronous-unwind-tables \
                -fno-tree-loop-distribute-patterns -Wall -Wextra -Werror -MMD -MP
GUEST_LDFLAGS = -m64 -nostdlib -static -no-pie -Wl,--build-id=none,-z,noexecstack \
                -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments
GUEST_PARTS   = start vectors trampoline main boot options commands commands_memory print uart \
                acpi irq ioapic cpu call time paging work hotplug cpu_hotplug smp sleep
GUEST_OBJ     = $(GUEST_PARTS:%=$(GUEST_DIR)/%.o)
GUEST_LD      = spec/guests/guest.ld
GUESTS        = $(addprefix $(GUEST_DIR)/,small.elf small-multiboot.elf small-multiboot.bin \
                small.bzimage small32.bzimage firmware.bin agent)
AGENT_SRC     = $(wildcard spec/guests/agent/*.c)

guests: $(GUESTS)

$(GUEST_DIR)/%.o: spec/guests/%.c spec/guests/guests.mk
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) -c -o $@ $<

$(GUEST_DIR)/%.o: spec/guests/%.S
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m64 -MMD -MP -c -o $@ $<

$(GUEST_DIR)/multiboot_flat.o: spec/guests/multiboot.S
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -m64 -MMD -MP -DADDRESSES -c -o $@ $<

# One program behind four entries.
GUEST_ELFS = $(addprefix $(GUEST_DIR)/,pvh.elf multiboot.elf multiboot_flat.elf linux.elf)
$(GUEST_ELFS): $(GUEST_DIR)/%.elf: $(GUEST_DIR)/%.o $(GUEST_OBJ) $(GUEST_LD)
	$(Q)$(GUEST_CC) $(GUEST_LDFLAGS) -T $(GUEST_LD) -o $@ $(filter %.o,$^)

$(GUEST_DIR)/small.elf: $(GUEST_DIR)/pvh.elf
	$(Q)cp $< $@

$(GUEST_DIR)/small-multiboot.elf: $(GUEST_DIR)/multiboot.elf
	$(Q)objcopy -O elf32-i386 $< $@

$(GUEST_DIR)/small-multiboot.bin: $(GUEST_DIR)/multiboot_flat.elf
	$(Q)objcopy -O binary $< $@

# A bzImage: the setup part, which knows the sizes of the rest, and the rest.
$(GUEST_DIR)/small.bzimage: GUEST_SETUP = -DKERNEL64
$(GUEST_DIR)/small.bzimage $(GUEST_DIR)/small32.bzimage: $(GUEST_DIR)/linux.elf \
    spec/guests/linux_setup.S
	$(Q)objcopy -O binary $< $@.bin
	$(Q)end=$$(nm $< | sed -n 's/ . image_end$$//p'); \
	$(GUEST_CC) -m64 $(GUEST_SETUP) -DINITSIZE=$$((0x$$end - 0x200000)) \
	    -DSYSSIZE=$$((($$(stat -c %s $@.bin) + 15) / 16)) -c -o $@.o spec/guests/linux_setup.S
	$(Q)objcopy -O binary $@.o $@.setup
	$(Q)cat $@.setup $@.bin > $@

$(GUEST_DIR)/firmware.bin: spec/guests/firmware.S
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m32 -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0,-e0 \
	    -Wl,--oformat=binary -o $@ $<

# A static program without a C library. -D_GNU_SOURCE: of the C library's headers it takes numbers and
# layouts.
$(GUEST_DIR)/agent: $(AGENT_SRC) $(wildcard spec/guests/agent/*.h) spec/guests/guests.mk
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(GUEST_CC) $(filter-out -mcmodel=% -mno-red-zone -MMD -MP,$(GUEST_CFLAGS)) -D_GNU_SOURCE \
	    -Wno-unused-parameter \
	    $(GUEST_LDFLAGS) -s -o $@ $(AGENT_SRC)

-include $(wildcard $(GUEST_DIR)/*.d)
.PHONY: guests
