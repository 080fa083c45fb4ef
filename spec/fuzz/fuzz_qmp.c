/*
 * fuzz_qmp.c: what a client sends to a QMP monitor: spec/fuzz/fuzz_qmp.lua. -max_len=1024 -runs=400
 *
 * Every complete value is answered by a line of JSON, and the monitor goes on.
 */
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script_run("spec.fuzz.fuzz_qmp", data, size);
    return 0;
}
