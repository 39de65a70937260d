# What `.ci/quick`, `.ci/run` and `.ci/soak` share: how a step is run, counted and summed up.
#
# Sourced, from the repository's root. A script defines functions step_NAME and the list `steps`,
# then calls `choose "$@"`, `run` for each of `chosen`, and `summary` last, whose status is the
# script's own. Nothing here knows a step, but those that more than one script has.

target=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')
logs=$target/ci
mkdir -p "$logs"
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0
# What a developer's shell may have set must not change what is tested.
unset SYLVAN_MAPPING SYLVAN_WORKERS SYLVAN_STACK_SIZE SYLVAN_BLOCKING_THREADS RUSTFLAGS
unset SYLVAN_SEED SYLVAN_SHUFFLE SYLVAN_TEST_SEEDS

failed=()
skipped=()
passed=0
reasons=

skip() {
    echo "SKIPPED: $1"
    skipped+=("$1")
}

# Runs one step, a function of this script called step_NAME: here and not in a subshell, for it may
# note what it skipped.
run() {
    local name=$1 begun=$SECONDS log=$logs/step-$$.log status=0 copier
    echo
    echo "=== $name"
    rm -f "$log.pipe"
    mkfifo "$log.pipe"
    tee "$log" < "$log.pipe" &
    copier=$!
    "step_$name" > "$log.pipe" 2>&1 || status=1
    wait "$copier"
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        echo "=== $name: ok, $((SECONDS - begun)) s"
    else
        failed+=("$name")
        reasons+=$(printf '\n=== why %s failed\n' "$name" && reason "$log")$'\n'
        echo "=== $name: FAILED, $((SECONDS - begun)) s"
    fi
    rm -f "$log" "$log.pipe"
}

# What a step's output says of its failure: what the tests that failed printed, or else its last
# lines. It is printed again at the very end, for of a long output sometimes no more is left.
reason() {
    if grep -q '^failures:$' "$1"; then
        sed -n '/^failures:$/,/^test result: /p' "$1" | head -c 6000
    else
        tail -n 30 "$1" | tail -c 3000
    fi
}

# Runs a command that ends in cargo's test summaries, and fails if none of them counts a test: a
# filter that matches nothing must not pass.
tests() {
    local log=$logs/$1.log
    shift
    "$@" 2>&1 | tee "$log"
    local status=${PIPESTATUS[0]}
    local count
    count=$(sed -n 's/^test result: .* \([0-9][0-9]*\) passed;.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    local lost
    lost=$(sed -n 's/^test result: .* \([0-9][0-9]*\) failed;.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    echo "$count passed, $lost failed"
    if [ "$count" -eq 0 ]; then
        echo "no test was run"
        return 1
    fi
    return "$status"
}

# Sets `targets` to cargo's options for every test binary of the root package, but those named.
test_targets() {
    local file name
    targets=()
    for file in tests/*.rs tests/*/main.rs; do
        [ -e "$file" ] || continue
        name=${file#tests/}
        name=${name%.rs}
        name=${name%/main}
        case " $* " in
        *" $name "*) ;;
        *) targets+=(--test "$name") ;;
        esac
    done
}

# Reads the command line: sets `chosen` to the steps that it names, or to all of them.
choose() {
    local name
    if [ "${1:-}" = --list ]; then
        printf '%s\n' "${steps[@]}"
        exit 0
    fi
    [ $# -gt 0 ] || set -- "${steps[@]}"
    for name in "$@"; do
        if ! declare -F "step_$name" > /dev/null; then
            echo "no step is called '$name'; there are: ${steps[*]}" >&2
            exit 2
        fi
    done
    chosen=("$@")
}

summary() {
    local what
    echo "$reasons"
    for what in ${skipped[@]+"${skipped[@]}"}; do
        echo "SKIPPED: $what"
    done
    echo "$passed steps passed, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}, in $SECONDS s"
    [ ${#failed[@]} -eq 0 ]
}

step_format() {
    cargo fmt --all --check
}

# The house rules; see tests/tidy.
step_tidy() {
    tests tidy cargo test --test tidy
}
