/*
 * fuzz_hmp.c: lines of a prompt that takes commands of the monitor, their completion, and guest
 * memory that they disassemble: spec/fuzz/fuzz_hmp.lua. -max_len=256 -runs=400
 *
 * Every line has an answer, and the machine stays.
 */
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script_run("spec.fuzz.fuzz_hmp", data, size);
    return 0;
}
