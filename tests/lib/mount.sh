# shellcheck shell=bash
# What every case with a mount needs. Source it first; it sets up a private directory and takes everything down
# again when the case ends, however it ends.
#
#   SAVESEALFS      the daemon               SAVESEAL       the tool
#   TEST_BIN_DIR    helper programs          SAVESEALFS_RUN prefix for the daemon (for example "setarch -R")
#   MOUNT_OPTIONS   options for every mount of start_daemon, as for -o
#   SAVESEAL_MUST_RUN=1  a case may not skip ROUNDS_PERCENT  how much of the long loops to run (default 100)
#
# In $work: back (the backing directory), mnt (the mount), log (the daemon's messages).

set -u
: "${SAVESEALFS:?path of savesealfs}" "${SAVESEAL:?path of saveseal}" "${TEST_BIN_DIR:?directory of helpers}"

failed=0
daemon=
work=$(mktemp -d "${TMPDIR:-/tmp}/saveseal-test.XXXXXX")
back=$work/back
mnt=$work/mnt
log=$work/log
mkdir "$back" "$mnt"

ok() { echo "ok - $1"; }
not_ok() {
    echo "not ok - $1"
    failed=1
}
# check TEXT COMMAND...: the command must succeed.
check() {
    local text=$1
    shift
    if "$@"; then ok "$text"; else not_ok "$text"; fi
}
# equal TEXT GOT WANTED
equal() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1: got '$2', wanted '$3'"; fi
}

# A part or a command that is not there is no success. Runs in a process of its own.
command_not_found_handle() {
    echo "not ok - there is no command $1"
    : >"$work/not-found"
    return 127
}

skip() {
    echo "skip - $1"
    [ "${SAVESEAL_MUST_RUN:-0}" = 1 ] && exit 1
    exit 77
}

# rounds N: N, scaled for slow builds.
rounds() { echo $(($1 * ${ROUNDS_PERCENT:-100} / 100 > 0 ? $1 * ${ROUNDS_PERCENT:-100} / 100 : 1)); }

wait_until() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -ge $end ] && return 1
        sleep 0.02
    done
}

# entries DIR: what saveseal status says, a line "NAME KIND STATE REASON DETAIL" for each entry; for names without blanks.
entries() {
    "$SAVESEAL" status --json "$1" | grep -o '{[^{}]*"kind"[^{}]*}' | awk '
        function value(key,    text) {
            if (!match($0, "\"" key "\": ?\"[^\"]*\""))
                return "?"
            text = substr($0, RSTART, RLENGTH - 1)
            sub(/^[^:]*: ?"/, "", text)
            return text
        }
        { print value("name"), value("kind"), value("state"), value("reason"), value("detail") }' | sed 's/ *$//'
}
# entry DIR NAME: those of one name, without it.
entry() { entries "$1" | sed -n "s/^$2 //p"; }

mounted() { grep -q " $1 fuse.savesealfs " /proc/self/mountinfo || grep -q " $1 .* - fuse.savesealfs " /proc/self/mountinfo; }

# start_daemon [OPTION...]: mounts $back on $mnt and waits until it works.
start_daemon() {
    # shellcheck disable=SC2086  # the prefix is words
    ${SAVESEALFS_RUN:-} "$SAVESEALFS" -f ${MOUNT_OPTIONS:+-o "$MOUNT_OPTIONS"} "$@" "$back" "$mnt" 2>>"$log" &
    daemon=$!
    wait_until 20 mounted "$mnt" || {
        cat "$log"
        not_ok "the mount did not come up"
        exit 1
    }
}

# Was PROGRAM built with a sanitizer? Its memory is not the program's.
is_sanitized() { ldd "$1" | grep -E 'libasan|libtsan' >/dev/null; }

# start_daemon under strace, which holds up system calls of it, and writes TRACE. LeakSanitizer does not work there.
start_held_up() { # TRACE CALL MICROSECONDS[:when=WHEN] [OPTION...]
    local by="strace -f -qq -o $1 -e trace=$2 -e inject=$2:delay_enter=$3"
    shift 3
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 SAVESEALFS_RUN="$by ${SAVESEALFS_RUN:-}" start_daemon "$@"
}

# stop_daemon: unmounts; the daemon must end by itself with status 0.
stop_daemon() {
    umount "$mnt" || return 1
    wait "$daemon"
    local status=$?
    daemon=
    [ $status -eq 0 ]
}

kill_daemon() { # SIGKILL, and clears the dead mount away; its worker ends a moment later
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null
    daemon=
    umount -l "$mnt"
}

# Ends a daemon that hangs by the kernel's own way: reading /proc of a process stuck in it would hang as well.
abort_mount() {
    local device
    device=$(awk -v m="$mnt" '$5 == m {d = $3} END {split(d, p, ":"); print p[2]}' /proc/self/mountinfo)
    [ -n "$device" ] || return 0
    [ -d /sys/fs/fuse/connections ] || return 0
    mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null
    if [ -w "/sys/fs/fuse/connections/$device/abort" ]; then
        echo 1 >"/sys/fs/fuse/connections/$device/abort"
    fi
}

cleanup() {
    local status=$?
    trap - EXIT
    trap '' INT TERM # timeout(1) sends it twice
    [ "$status" -eq 77 ] || [ "$failed" -eq 0 ] || status=1
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ -s "$log" ]; then
        echo "--- last messages of the daemon"
        tail -n 25 "$log"
    fi
    if [ -n "$daemon" ]; then
        umount "$mnt" 2>/dev/null || {
            abort_mount
            umount -l "$mnt" 2>/dev/null
        }
        kill -KILL "$daemon" 2>/dev/null
        wait "$daemon" 2>/dev/null
    fi
    # A sanitizer's report makes the case fail even where nobody looked at the exit status.
    local report='ERROR: (Address|Leak|Undefined)|WARNING: ThreadSanitizer|runtime error:'
    if grep -qsE "$report" "$log" "$work"/sanitizer/*; then
        echo "not ok - sanitizer report"
        grep -snE -A30 "$report" "$log" "$work"/sanitizer/* | head -n 80
        status=1
    fi
    [ ! -e "$work/not-found" ] || status=1
    # shellcheck disable=SC2154  # a case may define it
    declare -F case_cleanup >/dev/null && case_cleanup
    mountpoint -q "$mnt" || rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

runner=() # what a program that saves is started by
under() { "${runner[@]}" "$@"; }
forget_unmade() { :; }
declare -A differs
# here PART: runs this part of a case, unless the back end has nothing for it.
here() { [[ " ${not_here-} " == *" $1 "* ]] || "$1"; }
if [ "${BACKEND:-mount}" = preload ]; then
    # shellcheck source=tests/lib/preload.sh
    . "$(dirname "${BASH_SOURCE[0]}")/preload.sh"
fi
