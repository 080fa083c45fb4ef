#!/bin/sh
# Runs one fuzzing target, and prints a line when it is done.
#   run.sh BUILD TARGET SECONDS | replay | merge
set -u
build=$1 target=$2 mode=$3
fuzzer=$build/fuzz_$target
stored=spec/fuzz/corpus/$target
found=$build/corpus/$target
crashes=$build/crashes
log=$build/$target.log
mkdir -p "$stored" "$found" "$crashes"

# A leak is looked for at the end: after each input it would take most of the time.
options="-artifact_prefix=$crashes/$target- -detect_leaks=0 -timeout=20 -rss_limit_mb=2048"
options="$options -max_len=$(sed -n 's/^.*-max_len=\([0-9]*\).*$/\1/p' "spec/fuzz/fuzz_$target.c")"
options="$options -len_control=0 -print_final_stats=1"

number() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -n 1
}
export UBSAN_OPTIONS=print_stacktrace=1

case $mode in
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
echo "  see $log${input:+; again: $fuzzer $input}"
exit 1
