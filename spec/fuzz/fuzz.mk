# fuzz.mk: fuzzing with libFuzzer: a program per target, spec/fuzz/fuzz_TARGET.c, built in a folder
# of its own with AddressSanitizer and UndefinedBehaviorSanitizer.
#
# The inputs in spec/fuzz/corpus/TARGET/ are where each run begins; what it finds is kept in
# build/fuzz/corpus/TARGET/ for the next one, crashes in build/fuzz/crashes/. A crash is run again by
#   build/fuzz/fuzz_TARGET FILE
# Each target has its options for libFuzzer in the comment it begins with: -max_len for the size of
# an input, -runs for the inputs that fuzz-fixed tries.

FUZZ_CC    ?= $(if $(findstring clang,$(CC)),$(CC),clang)
FUZZ_BUILD ?= build/fuzz
SECONDS    ?= 60
FUZZ_SRC    = $(wildcard spec/fuzz/fuzz_*.c)
FUZZ_ALL    = $(FUZZ_SRC:spec/fuzz/fuzz_%.c=%)
TARGETS    ?= $(FUZZ_ALL)
FUZZ_OBJ    = $(FUZZ_SRC:%.c=$(BUILD)/obj/%.o)
FUZZ_OWN    = $(BUILD)/obj/spec/fuzz/repeat.o
# repeat.c has RCU of its own.
FUZZ_LIB    = $(filter-out $(addprefix $(BUILD)/obj/runtime/core/,rcu.o reclaimer.o),$(LIB_OBJ))

FUZZ_MAKE = $(MAKE) --no-print-directory CC="$(FUZZ_CC)" BUILD=$(FUZZ_BUILD) \
    SANITIZE=fuzzer-no-link,address,undefined CFLAGS="-O1 -gline-tables-only"
# Targets run side by side, one on each processor.
FUZZ_RUN  = @printf '%s\n' $(TARGETS) | xargs -P "$$(nproc)" -I{} \
    sh spec/fuzz/run.sh $(FUZZ_BUILD) {}

fuzz: ## fuzz each target for SECONDS=60 (TARGETS="boot lua" for some)
	$(call run-deps,build fuzz,install)
	@+$(FUZZ_MAKE) fuzz-products
	$(FUZZ_RUN) $(SECONDS)

fuzz-replay: ## run the fuzzers' stored inputs once
	$(call run-deps,build fuzz,install)
	@+$(FUZZ_MAKE) fuzz-products
	$(FUZZ_RUN) replay

fuzz-fixed: ## the same short fuzzing each time, which begins with the stored inputs
	$(call run-deps,build fuzz,install)
	@+$(FUZZ_MAKE) fuzz-products
	$(FUZZ_RUN) fixed

fuzz-merge: ## take inputs that fuzzing found into the tree, as few as reach the same code
	@+$(FUZZ_MAKE) fuzz-products
	$(FUZZ_RUN) merge

fuzz-products: $(TARGETS:%=$(BUILD)/fuzz_%) $(BUILD)/scripts

$(BUILD)/fuzz_%: $(BUILD)/obj/spec/fuzz/fuzz_%.o $(FUZZ_OWN) $(FUZZ_LIB) $(BIND_OBJ)
	@echo '  LINK $@'
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIB_LIBS) $(LUA_LIBS)

# What several threads do at once, they do in another order each time: no input is kept for that.
$(FUZZ_BUILD)/obj/runtime/ram/prealloc.o: override SANITIZE = address,undefined
# Nor for what depends on where memory is.
$(FUZZ_BUILD)/obj/runtime/memory/mapping.o: spec/fuzz/ignored.txt
$(FUZZ_BUILD)/obj/runtime/memory/mapping.o: SAN += -fsanitize-coverage-ignorelist=spec/fuzz/ignored.txt

.SECONDARY: $(FUZZ_OBJ) $(FUZZ_OWN)
-include $(patsubst %.o,%.d,$(FUZZ_OBJ) $(FUZZ_OWN))
.PHONY: fuzz fuzz-fixed fuzz-replay fuzz-merge fuzz-products
