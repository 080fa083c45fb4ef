# bench.mk: the benchmarks' programs and guests.

BENCH_DIR      = $(BUILD)/bench
BENCH_SRC      = $(wildcard bench/*.c)
BENCH_OBJ      = $(BENCH_SRC:%.c=$(BUILD)/obj/%.o)
BENCH_PROGRAMS = $(patsubst bench/%.c,$(BENCH_DIR)/%,$(filter-out bench/bare.c,$(BENCH_SRC)))
BENCH_GUESTS   = $(patsubst bench/guests/%.S,$(BENCH_DIR)/%.bin,$(wildcard bench/guests/*.S)) \
                 $(BENCH_DIR)/idle.elf

bench-products: products $(BENCH_PROGRAMS) $(BENCH_GUESTS)

# Linked with the library's objects, as the C unit tests are.
$(BENCH_DIR)/%: $(BUILD)/obj/bench/%.o $(BUILD)/obj/bench/bare.o $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) $(BENCH_LDFLAGS) -o $@ $^ $(LIB_LIBS)

# Sees when KVM_RUN returns.
$(BENCH_DIR)/lunik_guest: BENCH_LDFLAGS = -Wl,--wrap=ioctl

$(BENCH_DIR)/%.bin: bench/guests/%.S bench/guests/guest.h
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m32 -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0xffff0000,-e0xffff0000 \
	    -Wl,--oformat=binary -o $@ $<

$(BENCH_DIR)/idle.elf: bench/guests/idle.S bench/guests/guest.h
	@mkdir -p $(@D)
	@echo '  GUEST $<'
	$(Q)$(GUEST_CC) -m32 -DPVH -nostdlib -static -no-pie -Wl,--build-id=none,-Ttext=0x100000,-emain \
	    -Wl,-n,--section-start=.note.guest=0x100100 -o $@ $<

.SECONDARY: $(BENCH_OBJ)
-include $(BENCH_OBJ:.o=.d)
.PHONY: bench-products
