# ASL parts -> AML -> a C table of parts, linked with the rest of the library.
IASL     ?= iasl
LUA      ?= lua5.4
ACPI_ASL  = $(sort $(wildcard acpi/*.asl))
LIB_OBJ  += $(BUILD)/obj/acpi/parts.o

# iasl talks on success as well: it is heard only when it fails.
$(BUILD)/acpi/%.aml: acpi/%.asl acpi/acpi.mk
	@mkdir -p $(@D)
	@echo '  ASL  $<'
	$(Q)$(IASL) -vs -vi -we -p $(BUILD)/acpi/$* $< > $(BUILD)/acpi/$*.log 2>&1 || \
	    { cat $(BUILD)/acpi/$*.log; exit 1; }

$(BUILD)/acpi/parts.c: acpi/embed.lua $(ACPI_ASL:%.asl=$(BUILD)/%.aml)
	@echo '  GEN  $@'
	$(Q)$(LUA) acpi/embed.lua $(BUILD)/acpi $(ACPI_ASL) > $@

$(BUILD)/obj/acpi/parts.o: $(BUILD)/acpi/parts.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$(Q)$(COMPILE) -Iacpi -c -o $@ $<
