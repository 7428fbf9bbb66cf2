# shellcheck shell=bash
# Checks and fixtures for tests of the tool, on a directory of their own.
#
#   SAVESEAL      path of the tool
#   TEST_BIN_DIR  directory of mkseal and lockdraft
#
#   tools_start NAME  begins. What it makes goes when the case ends, after case_cleanup, if there is such a function
#   tools_need WHAT COMMAND...  ends the case as skipped when the command fails
# In $WORK, which others may enter: DIR, where the fixtures go; OUT and ERR, what the tool has printed. RC: its status.
# FAILED: the case's.

tools_start() { # NAME
    : "${SAVESEAL:?path of the tool}" "${TEST_BIN_DIR:?directory of the test helpers}"
    export SAVESEAL
    MKSEAL=$TEST_BIN_DIR/mkseal LOCKDRAFT=$TEST_BIN_DIR/lockdraft
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/saveseal-$1.XXXXXX") || exit 1
    chmod 755 "$WORK"
    OUT=$WORK/out ERR=$WORK/err DIR=$WORK/dir
    mkdir "$DIR"
    FAILED=0 RC=0
    LOCK_PID='' LOCK_FIFO=$WORK/lock.fifo
    trap tools_end EXIT
    tools_need "no user attributes in $WORK" setfattr -n user.saveseal.probe -v 1 "$DIR"
}

# shellcheck disable=SC2317 # called by the trap
tools_end() {
    exec 9>&-
    ! declare -F case_cleanup >/dev/null || case_cleanup
    chmod -R u+rwx "$WORK" 2>/dev/null
    rm -rf "$WORK"
}

tools_need() { # WHAT COMMAND...
    "${@:2}" >/dev/null 2>&1 && return
    echo "skip - $1"
    [ "${SAVESEAL_MUST_RUN:-0}" = 1 ] && exit 1
    exit 77
}

wait_for() { # COMMAND...
    local end=$((SECONDS + 20))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.02
    done
}

# ---- checking ----

ok() { printf 'ok - %s\n' "$1"; }

skip() { printf 'ok - %s # SKIP %s\n' "$1" "$2"; }

cannot() { # NAME WHY: a part that can not run
    if [ "${SAVESEAL_MUST_RUN:-0}" = 1 ]; then not_ok "$1: $2"; else skip "$1" "$2"; fi
}

not_ok() {
    printf 'not ok - %s (exit %s)\n' "$1" "$RC"
    sed 's/^/# out: /' "$OUT"
    sed 's/^/# err: /' "$ERR"
    # shellcheck disable=SC2034 # the test's exit status
    FAILED=1
}

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

run() { # ARGUMENT...
    timeout 60 "$SAVESEAL" "$@" >"$OUT" 2>"$ERR" </dev/null
    RC=$?
}

clean() { ! grep -qE 'Sanitizer|runtime error' "$ERR"; }

# Runs the tool: exit code, and a string that must stand in out, err, or nowhere to look (none).
expect() { # NAME CODE out|err|none STRING ARGUMENT...
    local name=$1 code=$2 where=$3 string=$4 file
    shift 4
    run "$@"
    file=$OUT
    [ "$where" = err ] && file=$ERR
    if [ "$RC" -ne "$code" ] || ! clean; then
        not_ok "$name"
    elif [ "$where" != none ] && ! grep -qF -- "$string" "$file"; then
        not_ok "$name: no '$string' in $where"
    else
        ok "$name"
    fi
}

# A Python expression over d, the list of the JSON objects in the last output.
json() { # NAME EXPRESSION
    check "$1" python3 - "$OUT" "$2" <<'PY'
import json, sys
d = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
by_name = {e["name"]: e for e in d[0]["entries"] if e["kind"] == "image"} if d and "entries" in d[0] else {}
drafts = {e["id"]: e for e in d[0]["entries"] if e["kind"] == "draft"} if d and "entries" in d[0] else {}
sys.exit(0 if eval("(" + sys.argv[2] + ")") else 1)
PY
}

# ---- fixtures ----

image() { # PATH [KIB]
    head -c "$((${2:-64} * 1024))" /dev/urandom >"$1"
}

sealed() { # PATH [KIB]
    image "$@"
    "$MKSEAL" "$1"
}

# Without a reason the draft is one that is (or was) being written.
draft() { # ID TARGET STATE [REASON [MORE]]
    local path=$DIR/.saveseal.$1
    image "$path"
    setfattr -n user.saveseal.draft "$path" -v "saveseal/1 target=$2 state=$3${4:+ reason=$4}${5:+ $5} \
writer=qemu-img pid=0 start=0 host=box opened=2023-11-14T22:13:20Z"
}

flip() { # PATH OFFSET
    python3 - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    byte = f.read(1)[0]
    f.seek(int(sys.argv[2]))
    f.write(bytes([byte ^ 1]))
PY
}

lock() { # PATH: holds its lock until unlock
    local line
    mkfifo "$LOCK_FIFO" "$LOCK_FIFO.out"
    "$LOCKDRAFT" "$1" <"$LOCK_FIFO" >"$LOCK_FIFO.out" &
    LOCK_PID=$!
    exec 9>"$LOCK_FIFO"
    read -r line <"$LOCK_FIFO.out"
    rm "$LOCK_FIFO" "$LOCK_FIFO.out"
    [ "$line" = locked ] || { echo "not ok - could not lock $1"; exit 1; }
}

unlock() {
    exec 9>&-
    wait "$LOCK_PID"
}

fresh() {
    rm -rf "$DIR"
    mkdir "$DIR"
}

hash_of() { sha256sum "$1" | cut -d' ' -f1; }

# A user without rights: as root the tool is run as somebody else, else the rights are just not there.
run_unprivileged() { # ARGUMENT...
    if [ "$(id -u)" -ne 0 ]; then
        run "$@"
    else
        timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$SAVESEAL" "$@" >"$OUT" 2>"$ERR" </dev/null
        RC=$?
    fi
}

# Types an answer on a terminal of its own. The exit code is the tool's.
run_on_terminal() { # ANSWER ARGUMENT...
    python3 - "$@" >"$OUT" 2>"$ERR" <<'PY'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(os.environ["SAVESEAL"], [os.environ["SAVESEAL"]] + sys.argv[2:])
os.write(fd, sys.argv[1].encode() + b"\n")
try:
    while True:
        data = os.read(fd, 4096)
        if not data:
            break
        sys.stdout.buffer.write(data)
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
    RC=$?
}
