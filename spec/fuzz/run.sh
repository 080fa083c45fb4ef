#!/bin/sh
# Runs one fuzzing target, and prints a line when it is done; inputs that fail are printed too.
#   run.sh BUILD TARGET SECONDS | fixed | replay | merge
# fixed: as many runs as the target's source says, the same ones each time.
set -u
build=$1 target=$2 mode=$3
fuzzer=$build/fuzz_$target
stored=spec/fuzz/corpus/$target
found=$build/corpus/$target
crashes=$build/crashes
log=$build/$target.log
mkdir -p "$stored" "$found" "$crashes"

# A number that the target's source gives for an option of libFuzzer, or else another.
option() {
    value=$(sed -n "s/^.*-$1=\([0-9]*\).*$/\1/p" "spec/fuzz/fuzz_$target.c")
    echo "${value:-$2}"
}

# A machine that is short of time does not make an input fail.
patience=20
[ "$mode" = fixed ] && patience=600
# A leak is looked for at the end: after each input it would take most of the time.
options="-artifact_prefix=$crashes/$target- -detect_leaks=0 -timeout=$patience -rss_limit_mb=2048"
options="$options -max_len=$(option max_len 4096) -len_control=0 -print_final_stats=1"

number() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}
export UBSAN_OPTIONS=print_stacktrace=1

# What would differ from run to run is left out: where things are in memory, and with it numbers
# that comparisons see; the order of files in a folder; a thread that looks at memory use; the
# environment, whose size alone moves the stack.
run_fixed() {
    same_place=$(setarch -R true 2>/dev/null && echo "setarch -R")
    LC_ALL=C find "$stored" -type f | LC_ALL=C sort | paste -sd, >"$build/$target.inputs"
    [ -s "$build/$target.inputs" ] && options="$options -seed_inputs=@$build/$target.inputs"
    # shellcheck disable=SC2086 # options are words
    env -i PATH=/usr/bin:/bin UBSAN_OPTIONS="$UBSAN_OPTIONS" $same_place "$fuzzer" $options -seed=1 \
        -use_cmp=0 -rss_limit_mb=0 -malloc_limit_mb=2048 -runs="$(option runs 1000)" >"$log" 2>&1
}

case $mode in
fixed)
    run_fixed
    ;;
replay)
    # shellcheck disable=SC2086 # options are words
    "$fuzzer" $options -runs=0 "$stored" >"$log" 2>&1
    ;;
merge)
    # As few as there are edges to reach: counters would ask for many more.
    # shellcheck disable=SC2086
    "$fuzzer" $options -set_cover_merge=1 -use_counters=0 "$stored" "$found" >"$log" 2>&1
    ;;
*)
    # shellcheck disable=SC2086
    "$fuzzer" $options -max_total_time="$mode" "$found" "$stored" >"$log" 2>&1
    ;;
esac
status=$?
coverage=$(sed -n 's/^#.* cov: \([0-9]*\) .*$/\1/p' "$log" | tail -n 1)
if [ "$mode" = merge ]; then
    printf '%-10s %6s edges' "$target" "$coverage"
else
    printf '%-10s %9s executions  %6s edges  %5s new inputs' "$target" \
        "$(number number_of_executed_units)" "$coverage" "$(number new_units_added)"
fi
if [ "$status" = 0 ]; then
    echo "  ok"
    exit 0
fi
echo "  FAILED"
sed -n '/ERROR:\|runtime error:\|^spec\/fuzz\//,+3p' "$log" | head -n 12
input=$(sed -n 's/^.*Test unit written to //p' "$log" | tail -n 1)
if [ -e "$input" ]; then
    echo "  The input, to be run again where 'make fuzz-replay TARGETS=$target' has built the fuzzer:"
    echo "    echo $(base64 -w 0 "$input") |"
    echo "    base64 -d >input && $fuzzer input"
fi
echo "  The whole report is in $log."
exit 1
