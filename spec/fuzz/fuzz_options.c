/*
 * fuzz_options.c: machines from any options: spec/fuzz/fuzz_options.lua. -max_len=256 -runs=220
 *
 * A machine is built, or an error says why not and nothing is left.
 */
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script_run("spec.fuzz.fuzz_options", data, size);
    return 0;
}
