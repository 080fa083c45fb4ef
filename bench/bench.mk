# bench.mk: the benchmarks' programs and guests.

BENCH_DIR      = $(BUILD)/bench
BENCH_SRC      = $(wildcard bench/*.c bench/driver/*.c)
BENCH_OBJ      = $(BENCH_SRC:%.c=$(BUILD)/obj/%.o)
BENCH_COMMON   = bench/bare.c bench/disk_thread.c
BENCH_PROGRAMS = $(patsubst bench/%.c,$(BENCH_DIR)/%,$(filter-out $(BENCH_COMMON),\
                 $(wildcard bench/*.c)))
BENCH_GUESTS   = $(patsubst bench/guests/%.S,$(BENCH_DIR)/%.bin,$(wildcard bench/guests/*.S)) \
                 $(BENCH_DIR)/idle.elf

bench-products: products $(BENCH_PROGRAMS) $(BENCH_GUESTS)

# Linked with the library's objects, as the C unit tests are.
$(BENCH_DIR)/%: $(BUILD)/obj/bench/%.o $(BENCH_COMMON:%.c=$(BUILD)/obj/%.o) $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) $(BENCH_LDFLAGS) -o $@ $^ $(LIB_LIBS)

$(BENCH_DIR)/block: $(patsubst %,$(BUILD)/obj/bench/driver/%.o,queue disk)

# Sees when KVM_RUN returns.
$(BENCH_DIR)/lunik_guest: BENCH_LDFLAGS = -Wl,--wrap=ioctl

$(BENCH_DIR)/%.bin: bench/guests/%.S bench/guests/guest.h
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m32 -Wa,-I$(BENCH_DIR) -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0xffff0000,-e0xffff0000 \
	    -Wl,--oformat=binary -o $@ $<

# Guests in C: what is inside the images of the same name.
USER_GUEST   = $(wildcard bench/guests/user/*)
VIRTIO_GUEST = $(wildcard bench/guests/virtio/*) $(wildcard bench/driver/*)
$(BENCH_DIR)/virtio.bin $(BENCH_DIR)/plug.bin: $(BENCH_DIR)/%.bin: $(BENCH_DIR)/%.payload \
    bench/guests/user_guest.h
$(BENCH_DIR)/virtio.payload: $(VIRTIO_GUEST)
$(BENCH_DIR)/plug.payload: bench/guests/plug/main.c
$(BENCH_DIR)/%.payload: $(USER_GUEST)
	@mkdir -p $(@D)
	@echo '  GUEST $@'
	$(Q)$(GUEST_CC) $(filter-out -MMD -MP,$(GUEST_CFLAGS)) $(GUEST_LDFLAGS) \
	    -Wl,-T,bench/guests/user/payload.ld,--oformat=binary -o $@ $(filter %.c,$^)

$(BENCH_DIR)/idle.elf: bench/guests/idle.S bench/guests/guest.h
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m32 -DPVH -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0x100000,-emain \
	    -Wl,-n,--section-start=.note.guest=0x100100 -o $@ $<

.SECONDARY: $(BENCH_OBJ)
-include $(BENCH_OBJ:.o=.d)
.PHONY: bench-products
