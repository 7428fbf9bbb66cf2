# shellcheck shell=bash
# Workers that are killed while something goes on. Source it after mount.sh and same.sh.
# shellcheck disable=SC2154,SC2034  # work, mnt, back, daemon, python, ... come from there

held_py=$(dirname "${BASH_SOURCE[0]}")/held.py
killer=      # pid of the program that kills
watchdog=
load=()      # pids of what is going on
ulimit -c 0

# A sanitizer must not make an exit of what is meant to be a death by a signal.
for options in ASAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS; do
    export $options="${!options:+${!options}:}handle_segv=0:handle_abort=0:handle_sigbus=0"
done

held() { exec "$python" "$held_py" "$@"; }

worker() { tr -d ' ' <"/proc/$daemon/task/$daemon/children"; } 2>/dev/null

# A mount whose keeper is dead is listed, but does not work; before it is replaced there is the bare directory for a moment.
works() { [ -n "$(told pid)" ]; }
not_mounted() { ! mounted "$mnt"; }
gone() { ! kill -0 "$1" 2>/dev/null; } # PID

# told NAME: that number from what the mount tells about its keeper.
told() { getfattr --only-values -n user.saveseal.daemon "$mnt" 2>/dev/null | sed -n "s/.* $1=\([0-9]*\).*/\1/p"; }

# --- hangs ---

# Ends every mount below $work by the kernel's own way, so that whoever waits for it gets an error.
abort_all() {
    local device
    mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null
    awk -v w="$work/" 'index($5, w) == 1 && / - fuse/ {split($3, p, ":"); print p[2]}' /proc/self/mountinfo |
        while read -r device; do
            echo 1 >"/sys/fs/fuse/connections/$device/abort"
        done 2>/dev/null
}

# watch SECONDS: nothing here may take longer.
watch() {
    (
        trap 'kill $! 2>/dev/null; exit' TERM
        sleep "$1" &
        wait $!
        echo "not ok - it hangs: aborted after $1 s"
        abort_all
    ) &
    watchdog=$!
}

case_cleanup() {
    local pid dir
    [ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
    for pid in $killer "${load[@]}"; do
        kill -KILL "$pid" 2>/dev/null
    done
    abort_all
    awk -v w="$work/" -v m="$mnt" 'index($5, w) == 1 {print $5}' /proc/self/mountinfo | tac | while read -r dir; do
        umount -l "$dir"
    done
}

# --- killing ---

# A daemon and an image to look at, which has its name: whoever gives up for good before that leaves its draft.
begin() { # [OPTION...]
    start_daemon "$@"
    head -c 50000 /dev/urandom >"$mnt/probe"
    check "there is an image" wait_until 10 test -e "$back/probe"
}

# end TEXT: everything in the mount is settled, and the daemon ends with status 0.
end() {
    local wrong
    wrong=$(place=. && not_settled)
    equal "$1: all is sealed and intact, nothing is left over" "${wrong:0:500}" ""
    check "$1: unmounting ends the daemon with status 0" stop_daemon
    find "$back" -mindepth 1 -delete
}

# begin_kills SIGNAL COUNT [MIN MAX]: goes on in the background.
begin_kills() {
    before=$(told restarts)
    "$TEST_BIN_DIR/killer" "$daemon" "$2" "${3:-50}" "${4:-500}" "$1" "$mnt/probe" >"$work/killed" 2>"$work/complaints" &
    killer=$!
}
killing() { [ -e "/proc/$killer/fd/0" ]; }

end_kills() { # TEXT
    local status
    wait "$killer"
    status=$?
    killer=
    echo "# $1: $(<"$work/killed")"
    [ $status -eq 0 ] || sed 's/^/#   /' "$work/complaints"
    equal "$1: who looks on sees no error" $status 0
}

# As many workers died as were killed: none by its own fault.
equal_restarts() { # TEXT
    equal "$1: as many restarts as kills" $(($(told restarts) - before)) "$(sed -n 's/hits \([0-9]*\).*/\1/p' "$work/killed")"
}

# --- what goes on ---

# grow NAME...: trees in the background.
grow() {
    local name
    load=()
    for name; do
        mkdir "$mnt/$name"
        "$TEST_BIN_DIR/tree" work "$mnt/$name" 1000000 >"$work/$name.out" 2>"$work/$name.err" &
        load+=($!)
    done
}

# reap TEXT NAME...: each tree is as it must be, by name and behind the mount.
reap() {
    local text=$1 name status=0 rounds
    shift
    kill -TERM "${load[@]}"
    for name in "${load[@]}"; do
        wait "$name" || status=1
    done
    load=()
    for name; do
        sed 's/^/#   /' "$work/$name.err"
        rounds=$(sed -n 's/^rounds \([0-9]*\) .*/\1/p' "$work/$name.out")
        echo "# $text: ${rounds:-0} rounds"
        [ "${rounds:-0}" -gt 0 ] || status=1
        "$TEST_BIN_DIR/tree" check "$mnt/$name" "${rounds:-0}" >/dev/null || status=1
        "$TEST_BIN_DIR/tree" check "$back/$name" "${rounds:-0}" >/dev/null || status=1
        equal "$text: nothing else is there" "$(find "$back/$name" -mindepth 1 -maxdepth 1 | wc -l)" $(((${rounds:-0} + 1) / 2))
    done
    equal "$text: each call did what it should, and the tree is the right one" $status 0
}

# hold NAME ARGUMENT...: one of held.py's programs in the background; it says when it is ready. Sets $held.
hold() {
    held "$@" >"$work/held.$1" 2>&1 &
    held=$!
    load+=("$held")
    wait_until 60 grep -q '^ready\|^closing' "$work/held.$1"
}

let_go() { # TEXT NAME: ends it
    local status
    kill -TERM "$held"
    wait "$held"
    status=$?
    load=()
    echo "# $1: $(grep -v '^ready' "$work/held.$2" | head -n 5)"
    equal "$1" $status 0
}

# --- starting and looking ---

launch() { # COMMAND...: as the user would; its end is seen by the lock that it inherits
    (
        flock -w 20 9 || exit
        exec timeout 30 "$@"
    ) 9>"$work/alive" >"$work/said" 2>&1 </dev/null
}
has_ended() { flock -w 10 "$work/alive" true; }

usable() { # a save is published and sealed
    seq 9999 >"$mnt/usable" && cmp -s "$mnt/usable" <(seq 9999) && intact "$mnt/usable" && rm "$mnt/usable"
}

run_part() { # NAME
    local began=$SECONDS
    echo "# --- $1"
    "$1"
    echo "# $1 took $((SECONDS - began)) s"
}
