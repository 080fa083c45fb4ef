/*
 * fuzz_lua.c: sequences of calls on the Lua API with any values: spec/fuzz/fuzz_lua.lua.
 * -max_len=1024 -runs=600
 *
 * Calls raise what they are documented to raise, and leave nothing behind: after the machine is
 * closed, handles say so, and nothing on the loop keeps it going.
 */
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script_run("spec.fuzz.fuzz_lua", data, size);
    return 0;
}
