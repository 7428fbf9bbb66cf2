# shellcheck shell=bash
# Checks and fixtures for tests of the tool. The test that sources it sets SAVESEAL, MKSEAL, LOCKDRAFT, DIR (where the
# fixtures go), OUT and ERR (files for what the tool prints), LOCK_FIFO, and FAILED=0.

# ---- checking ----

ok() { printf 'ok - %s\n' "$1"; }

skip() { printf 'ok - %s # SKIP %s\n' "$1" "$2"; }

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
