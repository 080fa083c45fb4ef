/*
 * fuzz_gdb.c: what a client sends to a gdb server: spec/fuzz/fuzz_gdb.lua. -max_len=1024 -runs=400
 *
 * The server goes on and answers afterwards.
 */
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script_run("spec.fuzz.fuzz_gdb", data, size);
    return 0;
}
