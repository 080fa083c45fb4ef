/* test_misuse.c: every function of the public headers, called wrongly: with NULL for each pointer,
 * on a machine that is closed, on the wrong thread, from a callback. Each says what is wrong; none
 * does harm. */
#include <pthread.h>
#include <stdlib.h>

#include "bindings/lunik_lua.h"
#include "lunik_pci.h"
#include "lunik_trace.h"
#include "check.h"
#include "misuse.h"

/* ---- NULL everywhere ------------------------------------------------------------------------ */

/* The other functions: those that take no pointer, or NULL, and those named in others[]. */
static void call_all(bool (*wanted)(const char *name))
{
#define CALL(name, call)                                                                           \
    if (wanted(#name))                                                                             \
    (void)(call)
    CALL(lunik_error_name, lunik_error_name(0));
    CALL(lunik_parse_size, lunik_parse_size(NULL, NULL, NULL, NULL));
    CALL(lunik_suggest, lunik_suggest(NULL, NULL));
    CALL(lunik_builtin_types, lunik_builtin_types());
    CALL(lunik_runtime_new, lunik_runtime_new(NULL, NULL, NULL));
    CALL(lunik_runtime_free, lunik_runtime_free(NULL));
    CALL(lunik_type_add, lunik_type_add(NULL, NULL, NULL));
    CALL(lunik_lock, lunik_lock(NULL));
    CALL(lunik_unlock, lunik_unlock(NULL));
    CALL(lunik_locked, lunik_locked(NULL));
    CALL(lunik_on_loop_thread, lunik_on_loop_thread(NULL));
    CALL(lunik_loop, lunik_loop(NULL));
    CALL(lunik_run, lunik_run(NULL, 0));
    CALL(lunik_run_timeout, lunik_run_timeout(NULL, 0));
    CALL(lunik_stop, lunik_stop(NULL));
    CALL(lunik_backend_fd, lunik_backend_fd(NULL));
    CALL(lunik_backend_timeout, lunik_backend_timeout(NULL));
    CALL(lunik_running, lunik_running(NULL));
    CALL(lunik_sandbox_denial, lunik_sandbox_denial());
    CALL(lunik_sanitized, lunik_sanitized());
    CALL(lunik_event_subscribe, lunik_event_subscribe(NULL, NULL));
    CALL(lunik_event_unsubscribe, lunik_event_unsubscribe(NULL));
    CALL(lunik_deliver_events, lunik_deliver_events(NULL));
    CALL(lunik_state_name, lunik_state_name(0));
    CALL(lunik_machine_new, lunik_machine_new(NULL, NULL, NULL, NULL));
    CALL(lunik_machine_close, lunik_machine_close(NULL));
    CALL(lunik_machine_ref, lunik_machine_ref(NULL));
    CALL(lunik_machine_unref, lunik_machine_unref(NULL));
    CALL(lunik_machine_name, lunik_machine_name(NULL));
    CALL(lunik_machine_runtime, lunik_machine_runtime(NULL));
    CALL(lunik_machine_accel, lunik_machine_accel(NULL));
    CALL(lunik_machine_state, lunik_machine_state(NULL));
    CALL(lunik_machine_config_get, lunik_machine_config_get(NULL));
    CALL(lunik_machine_get_stats, lunik_machine_get_stats(NULL, NULL));
    CALL(lunik_machine_start, lunik_machine_start(NULL, NULL));
    CALL(lunik_machine_pause, lunik_machine_pause(NULL, NULL));
    CALL(lunik_machine_reset, lunik_machine_reset(NULL, NULL));
    CALL(lunik_machine_wakeup, lunik_machine_wakeup(NULL, NULL));
    CALL(lunik_machine_suspend, lunik_machine_suspend(NULL));
    CALL(lunik_machine_wake, lunik_machine_wake(NULL, LUNIK_WAKE_HOST));
    CALL(lunik_machine_waking, lunik_machine_waking(NULL));
    CALL(lunik_machine_asleep, lunik_machine_asleep(NULL));
    CALL(lunik_machine_set_asleep, lunik_machine_set_asleep(NULL, true));
    CALL(lunik_machine_shutdown, lunik_machine_shutdown(NULL, NULL, 0));
    CALL(lunik_machine_exit_code, lunik_machine_exit_code(NULL));
    CALL(lunik_machine_request, lunik_machine_request(NULL, LUNIK_REQUEST_PAUSE, NULL, NULL));
    CALL(lunik_machine_drain, lunik_machine_drain(NULL, NULL, NULL));
    CALL(lunik_machine_undrain, lunik_machine_undrain(NULL));
    CALL(lunik_machine_powerdown, lunik_machine_powerdown(NULL, NULL));
    CALL(lunik_machine_memory, lunik_machine_memory(NULL));
    CALL(lunik_machine_io, lunik_machine_io(NULL));
    CALL(lunik_clock_now, lunik_clock_now(NULL));
    CALL(lunik_clock_advance, lunik_clock_advance(NULL, 0, NULL));
    CALL(lunik_object_add, lunik_object_add(NULL, NULL, NULL, 0, NULL, NULL));
    CALL(lunik_object_del, lunik_object_del(NULL, NULL, NULL));
    CALL(lunik_device_add, lunik_device_add(NULL, NULL, NULL, 0, NULL, NULL));
    CALL(lunik_device_del, lunik_device_del(NULL, NULL, NULL));
    CALL(lunik_device_plug_state, lunik_device_plug_state(NULL));
    CALL(lunik_plug_state_name, lunik_plug_state_name(0));
    CALL(lunik_object_find, lunik_object_find(NULL, NULL));
    CALL(lunik_object_next, lunik_object_next(NULL, NULL));
    CALL(lunik_object_ref, lunik_object_ref(NULL));
    CALL(lunik_object_unref, lunik_object_unref(NULL));
    CALL(lunik_object_alive, lunik_object_alive(NULL));
    CALL(lunik_object_id, lunik_object_id(NULL));
    CALL(lunik_object_path, lunik_object_path(NULL));
    CALL(lunik_object_type_name, lunik_object_type_name(NULL));
    CALL(lunik_object_is, lunik_object_is(NULL, NULL));
    CALL(lunik_object_is_device, lunik_object_is_device(NULL));
    CALL(lunik_object_machine, lunik_object_machine(NULL));
    CALL(lunik_object_get, lunik_object_get(NULL, NULL, NULL, NULL));
    CALL(lunik_object_set, lunik_object_set(NULL, NULL, NULL, NULL));
    CALL(lunik_type_find, lunik_type_find(NULL, NULL));
    CALL(lunik_type_next, lunik_type_next(NULL, NULL));
    CALL(lunik_vcpu_count, lunik_vcpu_count(NULL));
    CALL(lunik_vcpu_get, lunik_vcpu_get(NULL, 0));
    CALL(lunik_vcpu_machine, lunik_vcpu_machine(NULL));
    CALL(lunik_vcpu_index, lunik_vcpu_index(NULL));
    CALL(lunik_vcpu_tid, lunik_vcpu_tid(NULL));
    CALL(lunik_vcpu_current, lunik_vcpu_current());
    CALL(lunik_vcpu_get_reg, lunik_vcpu_get_reg(NULL, NULL, NULL, NULL));
    CALL(lunik_vcpu_set_reg, lunik_vcpu_set_reg(NULL, NULL, 0, NULL));
    CALL(lunik_vcpu_reg_names, lunik_vcpu_reg_names());
    CALL(lunik_vcpu_get_msr, lunik_vcpu_get_msr(NULL, 0, NULL, NULL));
    CALL(lunik_vcpu_get_lapic, lunik_vcpu_get_lapic(NULL, NULL, NULL));
    CALL(lunik_vcpu_get_regs, lunik_vcpu_get_regs(NULL, NULL, 0, NULL, NULL));
    CALL(lunik_vcpu_get_fpu, lunik_vcpu_get_fpu(NULL, NULL, NULL));
    CALL(lunik_vcpu_set_fpu, lunik_vcpu_set_fpu(NULL, NULL, NULL));
    CALL(lunik_vcpu_set_breakpoints, lunik_vcpu_set_breakpoints(NULL, 0, NULL, 0, NULL));
    CALL(lunik_vcpu_set_msr, lunik_vcpu_set_msr(NULL, 0, 0, NULL));
    CALL(lunik_vcpu_inject_exception, lunik_vcpu_inject_exception(NULL, 0, 0, 0, NULL));
    CALL(lunik_vcpu_inject_interrupt, lunik_vcpu_inject_interrupt(NULL, 0, NULL));
    CALL(lunik_vcpu_inject_nmi, lunik_vcpu_inject_nmi(NULL, NULL));
    CALL(lunik_vcpu_set_debug, lunik_vcpu_set_debug(NULL, 0, NULL, 0, NULL));
    CALL(lunik_exit_subscribe, lunik_exit_subscribe(NULL, NULL));
    CALL(lunik_exit_unsubscribe, lunik_exit_unsubscribe(NULL));
    CALL(lunik_vcpu_dump, lunik_vcpu_dump(NULL, NULL, 0));
    CALL(lunik_vcpu_get_stats, lunik_vcpu_get_stats(NULL, NULL));
    CALL(lunik_fwmap_add, lunik_fwmap_add(NULL, NULL, NULL));
    CALL(lunik_fwmap, lunik_fwmap(NULL, NULL));
    CALL(lunik_rom_add, lunik_rom_add(NULL, NULL, 0, NULL, 0, NULL));
    CALL(lunik_rom_set, lunik_rom_set(NULL, 0, NULL, 0, NULL));
    CALL(lunik_boot_set_facs, lunik_boot_set_facs(NULL, 0));
    CALL(lunik_boot_kernel, lunik_boot_kernel(NULL, NULL, NULL));
    CALL(lunik_boot_firmware, lunik_boot_firmware(NULL, NULL, NULL));
    CALL(lunik_acpi_install, lunik_acpi_install(NULL, NULL, NULL));
    CALL(lunik_acpi_refresh, lunik_acpi_refresh(NULL));
    CALL(lunik_acpi_offer, lunik_acpi_offer(NULL, NULL));
    CALL(lunik_acpi_table, lunik_acpi_table(NULL, NULL, NULL));
    CALL(lunik_space_read, lunik_space_read(NULL, 0, NULL, 0));
    CALL(lunik_space_write, lunik_space_write(NULL, 0, NULL, 0));
    CALL(lunik_space_fill, lunik_space_fill(NULL, 0, 0, 0));
    CALL(lunik_space_hash, lunik_space_hash(NULL, 0, 0, NULL));
    CALL(lunik_space_sha256, lunik_space_sha256(NULL, 0, 0, NULL));
    CALL(lunik_space_search, lunik_space_search(NULL, 0, 0, NULL, NULL));
    CALL(lunik_space_string, lunik_space_string(NULL, 0, NULL, 0, NULL));
    CALL(lunik_space_load, lunik_space_load(NULL, 0, 0, NULL));
    CALL(lunik_space_store, lunik_space_store(NULL, 0, 0, 0));
    CALL(lunik_type_prop, lunik_type_prop(NULL, NULL, 0));
    CALL(lunik_object_type, lunik_object_type(NULL));
    CALL(lunik_object_reset, lunik_object_reset(NULL));
    CALL(lunik_object_iface, lunik_object_iface(NULL, NULL));
    CALL(lunik_object_use, lunik_object_use(NULL, NULL, NULL));
    CALL(lunik_object_unuse, lunik_object_unuse(NULL, NULL));
    CALL(lunik_object_claim, lunik_object_claim(NULL, NULL, NULL));
    CALL(lunik_object_release, lunik_object_release(NULL, NULL));
    CALL(lunik_object_claimed_by, lunik_object_claimed_by(NULL));
    CALL(lunik_device_ejected, lunik_device_ejected(NULL));
    CALL(lunik_device_refused, lunik_device_refused(NULL, 0, 0));
    CALL(lunik_drain_done, lunik_drain_done(NULL));
    CALL(lunik_drain_object, lunik_drain_object(NULL));
    CALL(lunik_machine_set_data, lunik_machine_set_data(NULL, NULL, NULL, NULL));
    CALL(lunik_machine_data, lunik_machine_data(NULL, NULL));
    CALL(lunik_reset_subscribe, lunik_reset_subscribe(NULL, NULL));
    CALL(lunik_reset_unsubscribe, lunik_reset_unsubscribe(NULL));
    CALL(lunik_machine_clock, lunik_machine_clock(NULL));
    CALL(lunik_machine_map_broken, lunik_machine_map_broken(NULL, NULL));
    CALL(lunik_machine_guest_reset, lunik_machine_guest_reset(NULL));
    CALL(lunik_timer_init, lunik_timer_init(NULL, NULL, NULL));
    CALL(lunik_timer_set, lunik_timer_set(NULL, 0));
    CALL(lunik_timer_cancel, lunik_timer_cancel(NULL));
    CALL(lunik_defer, lunik_defer(NULL, NULL));
    CALL(lunik_defer_cancel, lunik_defer_cancel(NULL, NULL));
    CALL(lunik_work_start, lunik_work_start(NULL, NULL, NULL));
    CALL(lunik_work_cancel, lunik_work_cancel(NULL));
    CALL(lunik_thread_start, lunik_thread_start(NULL, NULL));
    CALL(lunik_iothread_new, lunik_iothread_new(NULL, NULL, NULL));
    CALL(lunik_iothread_free, lunik_iothread_free(NULL));
    CALL(lunik_iothread_post, lunik_iothread_post(NULL, NULL));
    CALL(lunik_iothread_cancel, lunik_iothread_cancel(NULL, NULL));
    CALL(lunik_iothread_loop, lunik_iothread_loop(NULL));
    CALL(lunik_iothread_here, lunik_iothread_here(NULL));
    CALL(lunik_iothread_tid, lunik_iothread_tid(NULL));
    CALL(lunik_emit_fields, lunik_emit_fields(NULL, NULL, NULL, 0));
    CALL(lunik_irq_connect, lunik_irq_connect(NULL, NULL, 0, NULL));
    CALL(lunik_machine_set_elcr, lunik_machine_set_elcr(NULL, 0));
    CALL(lunik_machine_elcr, lunik_machine_elcr(NULL));
    CALL(lunik_irqchip_add, lunik_irqchip_add(NULL, NULL, NULL));
    CALL(lunik_irqchip_remove, lunik_irqchip_remove(NULL));
    CALL(lunik_irqchip_set_intr, lunik_irqchip_set_intr(NULL, false));
    CALL(lunik_irqchip_changed, lunik_irqchip_changed(NULL));
    CALL(lunik_intr, lunik_intr(NULL));
    CALL(lunik_kvm_irqchip_get, lunik_kvm_irqchip_get(NULL, NULL, NULL));
    CALL(lunik_acknowledge, lunik_acknowledge(NULL, NULL, NULL));
    CALL(lunik_irq_disconnect, lunik_irq_disconnect(NULL));
    CALL(lunik_gsi_level, lunik_gsi_level(NULL, 0));
    CALL(lunik_gsi_edges, lunik_gsi_edges(NULL, 0));
    CALL(lunik_gsi_subscribe, lunik_gsi_subscribe(NULL, NULL));
    CALL(lunik_gsi_unsubscribe, lunik_gsi_unsubscribe(NULL));
    CALL(lunik_ram_new, lunik_ram_new(NULL, NULL, NULL));
    CALL(lunik_ram_ref, lunik_ram_ref(NULL));
    CALL(lunik_ram_unref, lunik_ram_unref(NULL));
    CALL(lunik_ram_host, lunik_ram_host(NULL));
    CALL(lunik_ram_size, lunik_ram_size(NULL));
    CALL(lunik_ram_page_size, lunik_ram_page_size(NULL));
    CALL(lunik_ram_align, lunik_ram_align(NULL));
    CALL(lunik_ram_fd, lunik_ram_fd(NULL));
    CALL(lunik_ram_fd_offset, lunik_ram_fd_offset(NULL));
    CALL(lunik_ram_shared, lunik_ram_shared(NULL));
    CALL(lunik_ram_readonly, lunik_ram_readonly(NULL));
    CALL(lunik_ram_name, lunik_ram_name(NULL));
    CALL(lunik_ram_prealloc, lunik_ram_prealloc(NULL, 0, NULL, NULL, NULL, NULL));
    CALL(lunik_ram_discard, lunik_ram_discard(NULL, 0, 0, NULL));
    CALL(lunik_ram_pin, lunik_ram_pin(NULL));
    CALL(lunik_ram_unpin, lunik_ram_unpin(NULL));
    CALL(lunik_ram_set_manager, lunik_ram_set_manager(NULL, NULL, NULL));
    CALL(lunik_ram_populated, lunik_ram_populated(NULL, NULL, NULL));
    CALL(lunik_ram_populate, lunik_ram_populate(NULL, 0, 0, NULL));
    CALL(lunik_ram_depopulate, lunik_ram_depopulate(NULL, 0, 0));
    CALL(lunik_populate_listener_add, lunik_populate_listener_add(NULL, NULL, NULL));
    CALL(lunik_populate_listener_del, lunik_populate_listener_del(NULL));
    CALL(lunik_region_new, lunik_region_new(NULL, NULL, NULL, NULL));
    CALL(lunik_region_ref, lunik_region_ref(NULL));
    CALL(lunik_region_unref, lunik_region_unref(NULL));
    CALL(lunik_region_add, lunik_region_add(NULL, 0, NULL, 0, 0, NULL));
    CALL(lunik_region_del, lunik_region_del(NULL, NULL));
    CALL(lunik_region_set_enabled, lunik_region_set_enabled(NULL, 0, NULL));
    CALL(lunik_region_set_offset, lunik_region_set_offset(NULL, 0, NULL));
    CALL(lunik_region_set_size, lunik_region_set_size(NULL, 0, NULL));
    CALL(lunik_region_set_priority, lunik_region_set_priority(NULL, 0, NULL));
    CALL(lunik_region_set_readonly, lunik_region_set_readonly(NULL, 0, NULL));
    CALL(lunik_region_set_romd, lunik_region_set_romd(NULL, 0, NULL));
    CALL(lunik_region_set_alias_offset, lunik_region_set_alias_offset(NULL, 0, NULL));
    CALL(lunik_region_alive, lunik_region_alive(NULL));
    CALL(lunik_region_name, lunik_region_name(NULL));
    CALL(lunik_region_get_kind, lunik_region_get_kind(NULL));
    CALL(lunik_region_size, lunik_region_size(NULL));
    CALL(lunik_region_offset, lunik_region_offset(NULL));
    CALL(lunik_region_priority, lunik_region_priority(NULL));
    CALL(lunik_region_enabled, lunik_region_enabled(NULL));
    CALL(lunik_region_readonly, lunik_region_readonly(NULL));
    CALL(lunik_region_romd, lunik_region_romd(NULL));
    CALL(lunik_region_target, lunik_region_target(NULL));
    CALL(lunik_region_alias_offset, lunik_region_alias_offset(NULL));
    CALL(lunik_region_parent, lunik_region_parent(NULL));
    CALL(lunik_region_owner, lunik_region_owner(NULL));
    CALL(lunik_region_ram, lunik_region_ram(NULL));
    CALL(lunik_region_ram_offset, lunik_region_ram_offset(NULL));
    CALL(lunik_region_next_child, lunik_region_next_child(NULL, NULL));
    CALL(lunik_region_get_stats, lunik_region_get_stats(NULL, NULL));
    CALL(lunik_region_add_eventfd, lunik_region_add_eventfd(NULL, 0, 0, 0, 0, 0, NULL));
    CALL(lunik_region_del_eventfd, lunik_region_del_eventfd(NULL, 0, 0, 0, 0, NULL));
    CALL(lunik_region_coalesce, lunik_region_coalesce(NULL, 0, 0, NULL));
    CALL(lunik_region_uncoalesce, lunik_region_uncoalesce(NULL, NULL));
    CALL(lunik_coalesced_flush, lunik_coalesced_flush(NULL));
    CALL(lunik_ioeventfd_new, lunik_ioeventfd_new(NULL, NULL, NULL, NULL));
    CALL(lunik_ioeventfd_fd, lunik_ioeventfd_fd(NULL));
    CALL(lunik_ioeventfd_detach, lunik_ioeventfd_detach(NULL, NULL));
    CALL(lunik_ioeventfd_close, lunik_ioeventfd_close(NULL, NULL));
    CALL(lunik_transaction_begin, lunik_transaction_begin(NULL));
    CALL(lunik_transaction_commit, lunik_transaction_commit(NULL, NULL));
    CALL(lunik_transaction_abort, lunik_transaction_abort(NULL));
    CALL(lunik_in_transaction, lunik_in_transaction(NULL));
    CALL(lunik_in_listener, lunik_in_listener(NULL));
    CALL(lunik_transaction_note, lunik_transaction_note(NULL, NULL));
    CALL(lunik_transaction_forget, lunik_transaction_forget(NULL, NULL));
    CALL(lunik_space_new, lunik_space_new(NULL, NULL, NULL, NULL, NULL));
    CALL(lunik_space_free, lunik_space_free(NULL));
    CALL(lunik_space_name, lunik_space_name(NULL));
    CALL(lunik_space_root, lunik_space_root(NULL));
    CALL(lunik_space_next, lunik_space_next(NULL, NULL));
    CALL(lunik_space_get_stats, lunik_space_get_stats(NULL, NULL));
    CALL(lunik_space_find, lunik_space_find(NULL, 0, NULL));
    CALL(lunik_space_map, lunik_space_map(NULL, 0, NULL, 0));
    CALL(lunik_space_unmap, lunik_space_unmap(NULL, NULL, 0, 0, 0));
    CALL(lunik_dma_new, lunik_dma_new(NULL, NULL, NULL));
    CALL(lunik_dma_free, lunik_dma_free(NULL));
    CALL(lunik_dma_enable, lunik_dma_enable(NULL));
    CALL(lunik_dma_disable, lunik_dma_disable(NULL, NULL));
    CALL(lunik_dma_enabled, lunik_dma_enabled(NULL));
    CALL(lunik_dma_read, lunik_dma_read(NULL, 0, NULL, 0));
    CALL(lunik_dma_write, lunik_dma_write(NULL, 0, NULL, 0));
    CALL(lunik_dma_map, lunik_dma_map(NULL, 0, 0, 0, NULL));
    CALL(lunik_dma_unmap, lunik_dma_unmap(NULL, 0));
    CALL(lunik_dma_begin, lunik_dma_begin(NULL));
    CALL(lunik_dma_end, lunik_dma_end(NULL));
    CALL(lunik_dma_generation, lunik_dma_generation(NULL, NULL));
    CALL(lunik_dma_window_open, lunik_dma_window_open(NULL, 0, NULL));
    CALL(lunik_dma_window_close, lunik_dma_window_close(NULL, NULL));
    CALL(lunik_dma_window_logged, lunik_dma_window_logged(NULL));
    CALL(lunik_dma_window_written, lunik_dma_window_written(NULL, NULL, 0, 0));
    CALL(lunik_space_why, lunik_space_why(NULL, 0));
    CALL(lunik_section_cause, lunik_section_cause(NULL));
    CALL(lunik_transaction_cause, lunik_transaction_cause(NULL));
    CALL(lunik_cause_copy, lunik_cause_copy(NULL));
    CALL(lunik_cause_text, lunik_cause_text(NULL, NULL));
    CALL(lunik_cause_print, lunik_cause_print(NULL, NULL, 1));
    CALL(lunik_reject_name, lunik_reject_name(0));
    CALL(lunik_reject_meaning, lunik_reject_meaning(0));
    CALL(lunik_rejection_text, lunik_rejection_text(NULL, NULL));
    CALL(lunik_reject_subscribe, lunik_reject_subscribe(NULL, NULL));
    CALL(lunik_reject_unsubscribe, lunik_reject_unsubscribe(NULL));
    CALL(lunik_listener_add, lunik_listener_add(NULL, NULL, NULL));
    CALL(lunik_listener_del, lunik_listener_del(NULL));
    CALL(lunik_dirty_start, lunik_dirty_start(NULL, 0, NULL, NULL));
    CALL(lunik_dirty_stop, lunik_dirty_stop(NULL, 0, NULL, NULL));
    CALL(lunik_dirty_sync, lunik_dirty_sync(NULL, NULL));
    CALL(lunik_dirty_block, lunik_dirty_block(NULL, 0));
    CALL(lunik_dirty_count, lunik_dirty_count(NULL, 0, 0, 0));
    CALL(lunik_dirty_next, lunik_dirty_next(NULL, 0, NULL, 0, NULL));
    CALL(lunik_dirty_test_and_clear, lunik_dirty_test_and_clear(NULL, 0, NULL, 0, 0, NULL));
    CALL(lunik_dirty_mark, lunik_dirty_mark(NULL, 0, 0));
    CALL(lunik_dirty_sample_new, lunik_dirty_sample_new(NULL, 0, NULL, NULL));
    CALL(lunik_dirty_sample_compare, lunik_dirty_sample_compare(NULL, 0, NULL));
    CALL(lunik_dirty_sample_free, lunik_dirty_sample_free(NULL));
    CALL(lunik_mtree, lunik_mtree(NULL, 0, NULL));
    CALL(lunik_machine_set_hotplug_handler,
         lunik_machine_set_hotplug_handler(NULL, NULL, NULL, NULL));
    CALL(lunik_machine_hotplug_handler, lunik_machine_hotplug_handler(NULL, NULL));
    CALL(lunik_machine_hotplugging, lunik_machine_hotplugging(NULL));
    CALL(lunik_cpu_present, lunik_cpu_present(NULL, 0));
    CALL(lunik_cpu_count, lunik_cpu_count(NULL));
    CALL(lunik_cpu_node, lunik_cpu_node(NULL, 0));
    CALL(lunik_cpu_plug, lunik_cpu_plug(NULL, 0, NULL));
    CALL(lunik_cpu_unplug, lunik_cpu_unplug(NULL, 1));
    CALL(lunik_type_replace, lunik_type_replace(NULL, NULL, NULL));
    CALL(lunik_machine_address_bits, lunik_machine_address_bits(NULL));
    CALL(lunik_runtime_set_data, lunik_runtime_set_data(NULL, NULL, NULL, NULL));
    CALL(lunik_runtime_data, lunik_runtime_data(NULL, NULL));
    CALL(lunik_runtime_use, lunik_runtime_use(NULL));
    CALL(lunik_runtime_unuse, lunik_runtime_unuse(NULL));
    CALL(lunik_misuse, lunik_misuse("test", "what"));
    CALL(lunik_misuse_fail, lunik_misuse_fail(NULL, "test", "what"));
    CALL(lunik_pci_function_init, lunik_pci_function_init(NULL, NULL, 0, 0, 0, 0));
    CALL(lunik_pci_config_read, lunik_pci_config_read(NULL, 0, 1));
    CALL(lunik_pci_config_write, lunik_pci_config_write(NULL, 0, 1, 0));
    CALL(lunik_pci_bar_init, lunik_pci_bar_init(NULL, 0, 0, NULL, NULL));
    CALL(lunik_pci_rom_init, lunik_pci_rom_init(NULL, NULL, NULL));
    CALL(lunik_pci_capability_add, lunik_pci_capability_add(NULL, 0, 0, 0, NULL, NULL));
    CALL(lunik_pci_capability_find, lunik_pci_capability_find(NULL, 0));
    CALL(lunik_pci_function_level_reset_init, lunik_pci_function_level_reset_init(NULL, NULL));
    CALL(lunik_pci_msi_init, lunik_pci_msi_init(NULL, 1, 0, 0, NULL));
    CALL(lunik_pci_msix_init, lunik_pci_msix_init(NULL, 1, 0, 0, 0, 0, NULL));
    CALL(lunik_pci_vectors, lunik_pci_vectors(NULL));
    CALL(lunik_pci_vector_send, lunik_pci_vector_send(NULL, 0));
    CALL(lunik_pci_vector_fd, lunik_pci_vector_fd(NULL, 0, NULL));
    CALL(lunik_msi_route_new, lunik_msi_route_new(NULL, NULL, NULL, NULL, NULL));
    CALL(lunik_msi_route_fd, lunik_msi_route_fd(NULL));
    CALL(lunik_msi_route_set, lunik_msi_route_set(NULL, NULL));
    CALL(lunik_msi_route_free, lunik_msi_route_free(NULL));
    CALL(lunik_msi_send, lunik_msi_send(NULL, NULL));
    CALL(lunik_msi_count, lunik_msi_count(NULL));
    CALL(lunik_msi_subscribe, lunik_msi_subscribe(NULL, NULL));
    CALL(lunik_msi_unsubscribe, lunik_msi_unsubscribe(NULL));
    CALL(lunik_pci_device_add, lunik_pci_device_add(NULL, NULL, NULL, NULL));
    CALL(lunik_pci_bus_function, lunik_pci_bus_function(NULL, 0));
    CALL(lunik_machine_pause_soon, lunik_machine_pause_soon(NULL));
    CALL(lunik_pci_addr_get, lunik_pci_addr_get(NULL, NULL));
    CALL(lunik_pci_device_remove, lunik_pci_device_remove(NULL));
    CALL(lunik_pci_function_reset, lunik_pci_function_reset(NULL));
    CALL(lunik_pci_map_failed, lunik_pci_map_failed(NULL, NULL));
    CALL(lunik_pci_intx_set, lunik_pci_intx_set(NULL, false));
    CALL(lunik_pci_dma_new, lunik_pci_dma_new(NULL, NULL, NULL));
    CALL(lunik_pci_dma_free, lunik_pci_dma_free(NULL, NULL));
    CALL(lunik_object_save, lunik_object_save(NULL, NULL, NULL));
    CALL(lunik_object_load, lunik_object_load(NULL, NULL, 0, NULL));
    CALL(lunik_machine_save_kvm, lunik_machine_save_kvm(NULL, NULL, NULL));
    CALL(lunik_machine_load_kvm, lunik_machine_load_kvm(NULL, NULL, 0, NULL));
    CALL(lunik_state_buffer_free, lunik_state_buffer_free(NULL));
    CALL(lunik_set_kick_cb, lunik_set_kick_cb(NULL));
    CALL(lunik_outlet_fill, lunik_outlet_fill(NULL, NULL));
    CALL(lunik_outlet_clear, lunik_outlet_clear(NULL));
    CALL(lunik_machine_flush, lunik_machine_flush(NULL));
    CALL(lunik_trace_subscribe, lunik_trace_subscribe(NULL, NULL));
    CALL(lunik_trace_unsubscribe, lunik_trace_unsubscribe(NULL));
    CALL(lunik_traced, lunik_traced(NULL));
    CALL(lunik_trace_fields, lunik_trace_fields(NULL, NULL, NULL, NULL, 0));
    CALL(lunik_trace_begin, lunik_trace_begin(NULL, NULL, NULL));
    CALL(lunik_trace_end, lunik_trace_end(NULL, 0, NULL, NULL, 0));
    CALL(lunik_trace_about, lunik_trace_about(NULL, NULL));
    CALL(lunik_lua_open, lunik_lua_open(NULL, NULL, NULL));
    CALL(lunik_lua_push_machine, lunik_lua_push_machine(NULL, NULL, NULL));
    CALL(lunik_lua_machine, lunik_lua_machine(NULL, 0));
#undef CALL
}

/* These take anything but a NULL, or are macros' and formats' helpers. */
static const char *const others[] = {
    "lunik_version",       "lunik_cause_pop",
    "lunik_cause_push",    "lunik_fail",
    "lunik_fail_errno",    "lunik_fail_prefix",
    "lunik_poll_start",    "lunik_sandbox",
    "lunik_set_misuse_cb", "lunik_kick_lock_holder", /* of signal handlers */
    "lunik_sandboxed",     "lunik_state",
    "lunik_state_object",  NULL,
};

static const char *const headers[] = {
    "runtime/lunik.h",        "runtime/lunik_memory.h",
    "runtime/lunik_device.h", "runtime/lunik_state.h",
    "runtime/lunik_pci.h",    "runtime/lunik_trace.h",
    "bindings/lunik_lua.h",   NULL,
};

static const char *looked_for;
static bool found;

static bool look(const char *name)
{
    found = found || !strcmp(name, looked_for);
    return false;
}

static bool is_covered(const char *name)
{
    looked_for = name;
    found = false;
    for (size_t i = 0; others[i]; i++)
        look(others[i]);
    call_all(look);
    return found;
}

/* Each name that is followed by a parenthesis at the left of a declaration. */
static void check_header(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256], name[128];

    check_true(path, f);
    while (f && fgets(line, sizeof(line), f)) {
        const char *at = strstr(line, "lunik_");
        const char *open = at ? strchr(at, '(') : NULL;

        if (strchr(" /#}*\n", line[0]) || strstr(line, "typedef") || strstr(line, "static") ||
            !open)
            continue;
        while (open > line && (open[-1] == '_' || (open[-1] >= '0' && open[-1] <= 'z')))
            open--;
        if (sscanf(open, "%127[a-z0-9_](", name) == 1 && !strncmp(name, "lunik_", 6))
            check_true(name, is_covered(name));
    }
    if (f)
        fclose(f);
}

/* Whether `out` is the last argument, or the last before err, wherever a function has one. */
static void check_out(const char *path)
{
    static char text[1 << 17];
    FILE *f = fopen(path, "r");
    size_t size = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    check_true(path, size > 0 && size < sizeof(text) - 1);
    text[size] = 0;
    for (const char *at = text; (at = strstr(at, "*out")); at += 4) {
        const char *rest = at + 5; /* err may be on the next line */

        if (at[4] == ',')
            check_true("out comes last, but for err",
                       !strncmp(rest + strspn(rest, " \n"), "lunik_error *err)", 17));
    }
    if (f)
        fclose(f);
}

static bool every(const char *name)
{
    return true;
}

static void test_null(void)
{
    call_all(every);
    check_true("NULL for every pointer of every function", true);
    said[0] = 0;
    lunik_region_name(NULL);
    check_string("what is said", said, "lunik_region_name: r is NULL");
    check_int("an error", lunik_machine_start(NULL, &err), LUNIK_E_INVALID);
    check_string("and its text", err.message, "lunik_machine_start: m is NULL");
    for (size_t i = 0; headers[i]; i++) {
        check_header(headers[i]);
        check_out(headers[i]);
    }
}

/* ---- a closed machine ----------------------------------------------------------------------- */

static int closed_fwmap_add(void)
{
    return lunik_fwmap_add(m, &(lunik_fwmap_entry){0, 4096, LUNIK_FWMAP_RAM, 0}, &err);
}

static int closed_rom_add(void)
{
    return lunik_rom_add(m, "rom", 0, "abc", 3, &err);
}

static int closed_boot_kernel(void)
{
    return lunik_boot_kernel(m, &(lunik_boot_config){.kernel = "/bin/true"}, &err);
}

static int closed_boot_firmware(void)
{
    return lunik_boot_firmware(m, "/bin/true", &err);
}

static int closed_acpi_install(void)
{
    uint64_t rsdp;

    return lunik_acpi_install(m, &rsdp, &err);
}

static int closed_acpi_offer(void)
{
    return lunik_acpi_offer(m, &err);
}

static int closed_clock_advance(void)
{
    return lunik_clock_advance(m, 1, &err);
}

static int closed_object_add(void)
{
    return lunik_object_add(m, "memory-backend-ram", NULL, 0, NULL, &err);
}

static int closed_device_add(void)
{
    return lunik_device_add(m, "debug-exit", NULL, 0, NULL, &err);
}

static int closed_object_del(void)
{
    return lunik_object_del(m, "x", &err);
}

static int closed_device_del(void)
{
    return lunik_device_del(m, "x", &err);
}

static int closed_powerdown(void)
{
    return lunik_machine_powerdown(m, &err);
}

static int closed_region_new(void)
{
    lunik_region *r;

    return lunik_region_new(m, &(lunik_region_config){.kind = LUNIK_REGION_CONTAINER, .size = 1},
                            &r, &err);
}

static int closed_commit(void)
{
    lunik_transaction_begin(m);
    return lunik_transaction_commit(m, &err);
}

static int closed_irq_connect(void)
{
    lunik_irq irq = {0};

    lunik_machine_set_elcr(m, 0);
    check_true("lines are low", !lunik_gsi_level(m, 1) && !lunik_gsi_edges(m, 1));
    return lunik_irq_connect(m, &irq, 1, &err);
}

static const struct {
    const char *name;
    int (*fn)(void);
} closed[] = {
    {"irq_connect", closed_irq_connect},
    {"fwmap_add", closed_fwmap_add},
    {"rom_add", closed_rom_add},
    {"boot_kernel", closed_boot_kernel},
    {"boot_firmware", closed_boot_firmware},
    {"acpi_install", closed_acpi_install},
    {"acpi_offer", closed_acpi_offer},
    {"clock_advance", closed_clock_advance},
    {"object_add", closed_object_add},
    {"device_add", closed_device_add},
    {"object_del", closed_object_del},
    {"device_del", closed_device_del},
    {"powerdown", closed_powerdown},
    {"region_new", closed_region_new},
    {"commit", closed_commit},
};

static void test_closed(void)
{
    size_t count;

    make("misuse");
    lunik_machine_ref(m);
    lunik_machine_close(m);
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        check_int(closed[i].name, closed[i].fn(), LUNIK_E_GONE);
    lunik_clock_now(m);
    check_true("no memory map", !lunik_fwmap(m, &count) && !count);
    check_true("nothing is there", !lunik_object_find(m, "x") && !lunik_object_next(m, NULL) &&
                                       !lunik_vcpu_get(m, 0) && !lunik_machine_memory(m));
    lunik_emit_fields(m, "late", NULL, 0);
    lunik_machine_close(m);
    lunik_run_timeout(rt, 0);
    lunik_machine_unref(m);
    check_int("and the runtime goes", lunik_runtime_free(rt), 0);
}

/* ---- threads, callbacks, values ------------------------------------------------------------- */

static void *without_lock(void *unused)
{
    lunik_machine_close(m);
    lunik_runtime_free(rt);
    lunik_run_timeout(rt, 10);
    lunik_unlock(rt);
    return NULL;
}

static int free_rc;

static void free_in_event(void *unused, const lunik_event *event)
{
    free_rc = lunik_runtime_free(rt);
    lunik_run_timeout(rt, 0);
}

static void test_places(void)
{
    lunik_event_sub events = {.fn = free_in_event};
    const lunik_field unnamed = {NULL, {.kind = LUNIK_BOOL}};
    const lunik_field no_text = {"id", {.kind = LUNIK_STRING}};
    const lunik_field no_kind = {"id", {.kind = (lunik_value_kind)77}};
    pthread_t thread;

    make("misuse");
    pthread_create(&thread, NULL, without_lock, NULL);
    pthread_join(thread, NULL);
    check_int("another thread closes nothing", lunik_machine_state(m), LUNIK_STATE_CREATED);
    check_contains("the lock is not its own", said, "does not hold the lock");
    lunik_lock(rt);
    check_contains("a second time", said, "holds the lock already");
    check_int("no name", lunik_object_add(m, "memory-backend-ram", &unnamed, 1, NULL, &err),
              LUNIK_E_INVALID);
    check_int("no string", lunik_object_add(m, "memory-backend-ram", &no_text, 1, NULL, &err),
              LUNIK_E_INVALID);
    check_int("no kind", lunik_object_add(m, "memory-backend-ram", &no_kind, 1, NULL, &err),
              LUNIK_E_INVALID);
    lunik_event_subscribe(m, &events);
    lunik_machine_start(m, &err);
    lunik_machine_shutdown(m, NULL, 0);
    lunik_run_timeout(rt, 10);
    check_int("a runtime in its callback", free_rc, LUNIK_E_STATE);
    lunik_transaction_begin(m);
    check_int("one with an open transaction", lunik_runtime_free(rt), 0);
    check_int("none", lunik_runtime_free(NULL), 0);
}

int main(void)
{
    lunik_set_misuse_cb(on_misuse);
    test_null();
    test_closed();
    test_places();
    return check_result();
}
