#!/bin/bash
# saveseal run: which programs it starts and which it refuses, and what the preload library promises beyond the table of case
# verdicts: others find whole versions only, writers die at any moment, daemons do not notice.
# shellcheck disable=SC2016,SC2154,SC2317  # commands are for an inner shell; parts are called by name
BACKEND=preload
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

writer=$TEST_BIN_DIR/writer
static=$TEST_BIN_DIR/static
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
said=$work/said
tool=$work/run/tools/saveseal

# ends_with STATUS PATTERN COMMAND...: its exit status, and what it says on stderr.
ends_with() {
    local wanted=$1 pattern=$2 status
    shift 2
    "$@" >"$work/out" 2>"$said" </dev/null
    status=$?
    # shellcheck disable=SC2053  # a pattern
    [ "$status" -eq "$wanted" ] && [[ $(<"$said") == $pattern ]] && return
    echo "# status $status, said: $(<"$said")"
    return 1
}

# --- what is started ---

patched() { # FILE OFFSET BYTES...: /bin/true with other bytes there
    cp /bin/true "$1"
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

refused() {
    local dir=$work/programs
    mkdir "$dir"
    cp /bin/true "$dir/setuid"
    chown 65534 "$dir/setuid"
    chmod 4755 "$dir/setuid"
    patched "$dir/foreign" 18 '\0267\0' # AArch64
    patched "$dir/narrow" 4 '\01'        # 32 bits
    printf '#! %s arg\n' "$static" >"$dir/script"
    printf '#!%s\n' "$dir/loop" >"$dir/loop"
    printf 'neither\n' >"$dir/neither"
    head -c 70 /bin/true >"$dir/cut"
    chmod +x "$dir"/{script,loop,neither,cut}
    cp /bin/true "$dir/plain"
    chmod -x "$dir/plain"
    check "a static program is refused" ends_with 126 "*linked statically*not started unprotected" under "$static"
    check "a script for one, too" ends_with 126 "*linked statically*" under "$dir/script"
    check "a setuid program" ends_with 126 "*more rights*" under "$dir/setuid"
    check "a program for another machine" ends_with 126 "*another kind of machine*" under "$dir/foreign"
    check "one of 32 bits" ends_with 126 "*another kind of machine*" under "$dir/narrow"
    check "what is no program" ends_with 126 "*neither an ELF program nor a script*" under "$dir/neither"
    check "half a program" ends_with 126 "saveseal: *" under "$dir/cut"
    check "a script that interprets itself" ends_with 126 "*too many interpreters*" under "$dir/loop"
    check "what can not be executed" ends_with 126 "*Permission denied" under "$dir/plain"
    check "what is not there" ends_with 127 "*No such file or directory" under "$dir/nothing"
    check "and not in PATH" ends_with 127 "*No such file or directory" under nothing-of-that-name
    check "with --permissive it runs" ends_with 0 "*runs unprotected" "$tool" run --dir "$mnt" --permissive "$static"
    check "no --dir" ends_with 2 "*--dir is missing*" "$tool" run true
    check "no command" ends_with 2 "*a command is missing*" "$tool" run --dir "$mnt"
    check "a directory that is not there" ends_with 2 "*No such file*" "$tool" run --dir "$work/nothing" true
    check "a file for a directory" ends_with 2 "*Not a directory*" "$tool" run --dir "$dir/plain" true
}

# A Go program makes its system calls itself, however it is linked: nothing that it writes would be seen.
refused_go() {
    check "a Go program, linked statically, is refused" ends_with 126 "*linked statically*not started unprotected" \
        under go-md2man -in /dev/null -out "$mnt/static"
    check "one linked dynamically" ends_with 126 "*a Go program*not started unprotected" under age-keygen -o "$mnt/dynamic"
    check "they did not run" [ ! -e "$mnt/static" -a ! -e "$mnt/dynamic" ]
    check "with --permissive they do" ends_with 0 "*a Go program*runs unprotected*" "$tool" run --dir "$mnt" --permissive age-keygen -o "$mnt/dynamic"
    equal "and no seal says otherwise" "$(entry "$mnt" dynamic)" "image unsealed unsealed"
    rm "$mnt/dynamic"
}

started() {
    check "the command's exit status" ends_with 42 "" under bash -c 'exit 42'
    check "it keeps the process number" bash -c '"$0" run --dir "$1" -- bash -c "echo \$\$" >"$2" & wait $!; [ "$(cat "$2")" = $! ]' \
        "$tool" "$mnt" "$said"
    check "a library that can not be set up stops the process" ends_with 126 "*can not be protected*not started unprotected*" \
        env "SAVESEAL_DIRS=$work/nothing" "LD_PRELOAD=$work/run/preload/libsaveseal-preload.so" true
    check "nor settings that it does not know" ends_with 126 "*SAVESEAL_FORMAT is any or libvirt*" \
        env "SAVESEAL_DIRS=$mnt" SAVESEAL_FORMAT=qcow2 "LD_PRELOAD=$work/run/preload/libsaveseal-preload.so" true
    equal "no libcrypto before the first seal, and then it is there" \
        "$(under bash -c 'grep -c libcrypto /proc/$$/maps; echo x >"$0"; grep -qc libcrypto /proc/$$/maps && echo there' "$mnt/c")" \
        $'0\nthere'
    check "hidden names can not be made" ends_with 1 "*Operation not permitted" under bash -c 'echo >"$0"' "$mnt/.saveseal.0123456789abcdef"
}

# --- what is promised ---

versions() {
    under "$python" "$(dirname "$0")/lib/versions.py" save "$mnt/versions" "$(rounds 300)" |
        "$python" "$(dirname "$0")/lib/versions.py" look "$mnt/versions" >"$said"
    check "others find whole versions, and the one that was closed" [ "${PIPESTATUS[1]}" -eq 0 ]
    sed 's/^/# /' "$said" | tail -n 5
}

# A writer is killed at any moment: its name shows the old version or the new one, whole, and no draft is lost sight of.
kills() {
    local i pid old=0 new=0 wrong='' span=40 # milliseconds, longer where the machine is busy
    "$writer" "$work/old" create write:3M close
    "$writer" "$work/new" seed:1 create write:4M close
    for ((i = 0; i < $(rounds 150); i++)); do
        rm -f "$mnt/k" "$mnt"/.saveseal.*
        under cp "$work/old" "$mnt/k"
        "$tool" run --dir "$mnt" -- dd if="$work/new" of="$mnt/k" bs=16k status=none & # itself, not a shell
        pid=$!
        sleep "$(printf 0.%03d $((RANDOM % span)))"
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null
        if cmp -s "$mnt/k" "$work/old"; then old=$((old + 1)); elif cmp -s "$mnt/k" "$work/new"; then new=$((new + 1)); else
            wrong="$wrong; neither version"
        fi
        "$SAVESEAL" verify "$mnt/k" >"$said" 2>&1 || wrong="$wrong; $(<"$said")"
        entries "$mnt" >"$said"
        # One that has no record yet is empty: nothing is lost with it.
        [ "$(find "$mnt" -name '.saveseal.*' -size +0 | wc -l)" -le "$(grep -c ' draft interrupted' "$said")" ] || wrong="$wrong; $(<"$said")"
        if ((i % 3 == 2 && new == 0 && span < 2000)); then span=$((span * 2)); fi
    done
    equal "killed at any moment: $old old, $new new versions" "$wrong" ""
    check "and there were both" [ "$old" -gt 0 -a "$new" -gt 0 ]
}

# Several processes save one name at a time: the last to close wins, and everybody finds one of them whole.
together() {
    local i
    for ((i = 0; i < $(rounds 40); i++)); do
        for s in 1 2 3 4; do
            under "$writer" "$mnt/t" "seed:$s" create write:300K fork [ write:10K ] join write:10K close &
        done
        wait
        "$SAVESEAL" verify "$mnt/t" >/dev/null || not_ok "round $i: $("$SAVESEAL" verify "$mnt/t" 2>&1)"
    done
    equal "four at a time: no draft is left" "$(entries "$mnt" | grep '^t draft')" ""
}

commit_at_exit() {
    "$tool" run --dir "$mnt" --commit exit -- "$python" -c 'import sys
with open(sys.argv[1], "w") as file:
    file.write("half")
    raise SystemExit(3)' "$mnt/e"
    equal "--commit exit: closed, then exit(3): kept" "$(entry "$mnt" e)" "draft interrupted writer-exited writer exited with status 3"
    "$tool" run --dir "$mnt" --commit exit -- "$python" -c 'import sys
with open(sys.argv[1], "w") as file:
    file.write("whole")' "$mnt/e"
    check "--commit exit: closed, then exit(0): published" grep -qx whole "$mnt/e"
}

only_libvirt() {
    check "--format: a wrong one" ends_with 2 "*--format is any or libvirt*" "$tool" run --dir "$mnt" --format qcow2 true
    check "--format libvirt: something else: close() fails" ends_with 1 "*Invalid argument*" \
        "$tool" run --dir "$mnt" --format libvirt -- cp "$tool" "$mnt/f"
    equal "and it is kept" "$(entry "$mnt" f)" "draft interrupted writes-unseen"
    check "--format libvirt: an image of libvirt" \
        "$tool" run --dir "$mnt" --format libvirt -- "$writer" "$mnt/g" create save:4K at:92 write:50K close
    equal "is published" "$(entry "$mnt" g)" "image sealed intact"
}

# What would be unprotected is told.
reported() {
    "$tool" run --dir "$mnt" --report -- "$python" -c 'import ctypes, os, sys
os.spawnve(os.P_WAIT, "/bin/true", ["true"], {})
os.posix_spawn("/bin/true", ["true"], {"LD_PRELOAD": os.environ["LD_PRELOAD"]})
os.spawnve(os.P_WAIT, "/bin/true", ["true"], os.environ)
os.spawnve(os.P_WAIT, sys.argv[1], ["static"], os.environ)
ctypes.CDLL(None).syscall(425, 1, 0) # io_uring_setup' "$static" 2>"$said"
    equal "--report: what is started without protection, and io_uring" "$(<"$said")" \
        "saveseal: /bin/true: started without the library (LD_PRELOAD): what it opens and saves is not protected
saveseal: /bin/true: started without SAVESEAL_DIRS: what it opens and saves is not protected
saveseal: $static: started without protection: linked statically, so that no library can be loaded into it
saveseal: io_uring: what is opened or closed through it is not protected"
    equal "and without it nothing is said" "$(under env -i true 2>&1)" ""
}

# A symbolic link in the directory is followed to what it names.
links() {
    under bash -c 'printf old >"$0"' "$mnt/image"
    ln -s image "$mnt/link"
    under bash -c 'exec >"$0"; printf half; kill -KILL $$' "$mnt/link"
    equal "a save through a link, killed: the old version stays" "$(<"$mnt/image"), $(entry "$mnt" image)" \
        $'old, image sealed intact\ndraft interrupted writer-vanished its writer ended without closing it'
    under bash -c 'printf new >"$0"' "$mnt/link"
    check "one that is closed: the new one is there" grep -qx new "$mnt/image"
    ln -s "$mnt/link" "$work/outside"
    under truncate -s 1 "$work/outside"
    equal "truncate from outside" "$(<"$mnt/image")" n
    check "all is sealed, and the link is there" "$SAVESEAL" verify "$mnt/link"
    ln -s made "$mnt/dangling"
    check "O_EXCL makes nothing through a link" under "$python" -c 'import os, sys
for path in sys.argv[1] + "/dangling", sys.argv[1] + "/../" + os.path.basename(sys.argv[1]) + "/dangling":
    try:
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        sys.exit(1)
    except FileExistsError:
        pass' "$mnt"
    under bash -c 'exec >"$0"; printf half; kill -KILL $$' "$mnt/dangling"
    check "a link to nothing, killed: nothing is made" [ ! -e "$mnt/made" ]
    under bash -c 'printf new >"$0"' "$mnt/dangling"
    equal "closed: it is made" "$(entry "$mnt" made | head -n 1)" "image sealed intact"
}

# The directory, one below it, and one above it, by other names; and one of those that is gone.
bind_mounts() {
    local name dir killed="draft interrupted writer-vanished its writer ended without closing it"
    mkdir -p "$mnt/below" "$work"/{'an other',above,below}
    mount --bind "$mnt" "$work/an other"
    mount --bind "$mnt/below" "$work/below"
    mount --bind "$work" "$work/above"
    for name in "an other/bound" "below/bound" "above/back/above"; do
        dir=$mnt
        [[ $name != below/* ]] || dir=$mnt/below
        under bash -c 'exec >"$0"; printf half; kill -KILL $$' "$work/$name"
        equal "a bind mount, $name: killed" "$(entry "$dir" "${name##*/}")" "$killed"
        (cd "$work/${name%/*}" && under bash -c 'printf whole >"$0"; cat "$0"' "${name##*/}") >"$said"
        equal "and saved" "$(<"$said"), $(<"$dir/${name##*/}"), $(entry "$dir" "${name##*/}")" "whole, whole, image sealed intact"$'\n'"$killed"
    done
    under "$python" -c 'import subprocess, sys
open(sys.argv[1] + "/before", "w").write("x")
subprocess.check_call(["umount", sys.argv[1]])
open(sys.argv[1] + "/after", "w").write("x")' "$work/an other"
    umount "$work/below" "$work/above"
    equal "while it is mounted it is the directory, and then it is not" \
        "$(entry "$mnt" before), $(entry "$work/an other" after), $(ls "$work/an other")" "image sealed intact, image unsealed unsealed, after"
}

# A memory file system without a size has no free blocks, and room all the same.
without_size() {
    mkdir "$work/memory"
    mount -t tmpfs -o size=0 none "$work/memory"
    check "on a tmpfs without a size" "$tool" run --dir "$work/memory" -- cp "$tool" "$work/memory/f"
    check "it is sealed" "$SAVESEAL" verify "$work/memory/f"
    umount "$work/memory"
}

# --- who must not notice ---

unnoticed() {
    local jemalloc
    jemalloc=$(find /usr/lib -name 'libjemalloc.so.2' | head -n 1)
    if sanitized; then
        : # it has a malloc of its own, and has to come first
    elif [ -n "$jemalloc" ]; then
        LD_PRELOAD=$jemalloc under "$python" -c 'import sys; open(sys.argv[1], "w").write("x" * 100000)' "$mnt/j"
        check "a program with another malloc" "$SAVESEAL" verify "$mnt/j"
    else
        not_ok "no jemalloc"
    fi
    equal "sqlite outside" "$(under "$python" -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("create table t (n)")
for n in range(300):
    db.execute("insert into t values (?)", (n,))
    db.commit()
print(db.execute("pragma integrity_check").fetchone()[0], db.execute("select sum(n) from t").fetchone()[0])' "$work/db")" "ok 44850"
    equal "children by posix_spawn" "$(under "$python" -c 'import os, sys
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo spawned >$0", sys.argv[1]], os.environ)
print(os.waitpid(pid, 0)[1])' "$mnt/p")" 0
    check "save as well" "$SAVESEAL" verify "$mnt/p"
    check "a program that uses libcrypto, too, and leaves the file open at its exit" under "$python" -c 'import hashlib, os, sys
hashlib.sha256(b"1").hexdigest()
os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), b"sealed after the end of libcrypto")' "$mnt/h"
    check "saves as well" "$SAVESEAL" verify "$mnt/h"
    check "a program that closes every descriptor" under "$python" -c 'import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.closerange(3, 1 << 16)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(file, b"again")
os.close(file)' "$mnt/q"
    check "saves all the same" grep -qx again "$mnt/q"
}

# Names that newer C libraries have: on older ones the library brings them.
newer_names() {
    check "openat2" under "$python" -c 'import ctypes, os, struct, sys
how = struct.pack("QQQ", os.O_WRONLY | os.O_CREAT, 0o600, 0)
fd = ctypes.CDLL(None).openat2(-100, sys.argv[1].encode(), how, len(how))
os.write(fd, b"x")
os.close(fd)' "$mnt/openat2"
    check "saves as well" "$SAVESEAL" verify "$mnt/openat2"
    check "pidfd_getfd" under "$python" -c 'import ctypes, os, sys
library = ctypes.CDLL(None)
fd, (told, tell), (over, end) = 50, os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), fd)
    os.closerange(fd - 20, fd)
    os.write(tell, b"x")
    os.read(over, 1)
    os._exit(0)
os.read(told, 1)
copy = library.pidfd_getfd(library.syscall(434, child, 0), fd, 0)
os.write(end, b"x")
while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT).si_pid != child:
    pass
os.write(copy, b"x")
os.close(copy)' "$mnt/getfd"
    check "the last close of a copy is one" "$SAVESEAL" verify "$mnt/getfd"
}

# Threads that save one name over and over, with O_TRUNC: nobody ever finds it cut.
never_cut() {
    local looker
    under timeout 60 "$TEST_BIN_DIR/savers" threads "$mnt/n" &
    "$python" -c 'import os, sys
sizes = set()
while os.path.exists("/proc/" + sys.argv[2]):
    try:
        sizes.add(os.stat(sys.argv[1]).st_size)
    except FileNotFoundError:
        pass
print(*sorted(sizes))' "$mnt/n" $! >"$said" &
    looker=$!
    wait %% 2>/dev/null
    wait "$looker"
    equal "threads that save one name: the sizes that others find" "$(<"$said")" 4096
}

draft_of() { "$SAVESEAL" status --json "$mnt" | "$python" -c 'import json, sys
for entry in json.loads(sys.stdin.readline())["entries"]:
    if entry["kind"] == "draft" and entry["name"] == sys.argv[1]:
        print(entry["path"])' "$1"; }

# Bad pointers, edges, and errno: what each call gives is what it gives without the library.
bad_arguments() {
    sanitized && return # which reads for itself what such calls are given
    mkdir "$work/args" "$mnt/args"
    "$TEST_BIN_DIR/badargs" "$work/args" >"$work/without"
    check "calls with bad arguments: the program ends well" under "$TEST_BIN_DIR/badargs" "$mnt/args" >"$work/with"
    check "and each gives what it gives without the library" diff "$work/without" <(grep -v '^ok - ' "$work/with")
    check "and so they do when what is started is told" diff "$work/without" \
        <("$tool" run --dir "$mnt" --report -- "$TEST_BIN_DIR/badargs" "$mnt/args" 2>/dev/null)
    rm -r "$mnt/args"
}

hard_programs() {
    local what looker
    for what in forks locks handler underscore; do
        # Some thousand forks of a process with shadow memory; a fork that the sanitizer does not notice.
        [[ $what != handler && $what != underscore ]] || ! sanitized || continue
        check "$what: ends well" under timeout 60 "$TEST_BIN_DIR/savers" "$what" "$mnt/$what"
        check "$what: and the image is whole" "$SAVESEAL" verify "$mnt/$what"
    done
    mkfifo "$work/silent"
    exec 9<>"$work/silent"
    timeout 5 "$TEST_BIN_DIR/savers" reading "$work/reading" <&9 # from glibc 2.41 on, exit() waits for the reader
    plain=$?
    equal "a thread reads when the process ends: ends as without the library" \
        "$(under timeout 5 "$TEST_BIN_DIR/savers" reading "$mnt/reading" <&9; echo $?)" "$plain"
    exec 9>&-
    check "and what was in the buffer is in the image" grep -qx buffered "$mnt/reading"
    check "a write that failed, and a child that has a copy until it calls exec: close() says so" \
        under timeout 60 "$TEST_BIN_DIR/savers" heir "$mnt/heir"
    check "killed after it published: ends well" under timeout 60 "$TEST_BIN_DIR/savers" killed "$mnt/killed"
    check "and the image is whole" "$SAVESEAL" verify "$mnt/killed"
    check "a child has a copy of a buffer, and ends by _exit: ends well" under timeout 60 "$TEST_BIN_DIR/savers" buffer "$mnt/buffer"
    equal "and what was in it is in the image once" "$(<"$mnt/buffer")" once
    check "open() gives the lowest descriptor" under timeout 60 "$TEST_BIN_DIR/savers" lowest "$mnt/lowest"
    equal "and what a stream wrote is there" "$(<"$mnt/lowest")" stream
    check "exit(0) while another thread is in close(): ends well" under timeout 60 "$TEST_BIN_DIR/savers" closing "$mnt/closing"
    equal "and the image is its" "$(stat -c %s "$mnt/closing") $(entry "$mnt" closing)" "33554432 image sealed intact"
    check "quick_exit(0): ends well" under timeout 60 "$TEST_BIN_DIR/savers" quick "$mnt/quick"
    check "and the image is whole" "$SAVESEAL" verify "$mnt/quick"
    check "quick_exit(3)" ends_with 3 "" under timeout 60 "$TEST_BIN_DIR/savers" quick-failure "$mnt/quick3"
    equal "and nothing is published" "$(entry "$mnt" quick3)" "draft interrupted writer-exited writer exited with status 3"
    check "the last close is a dup2, and no descriptor is free: ends well" under timeout 60 "$TEST_BIN_DIR/savers" few "$mnt/few"
    check "and the image is whole" "$SAVESEAL" verify "$mnt/few"
    check "a thread that waits for a pipe outside is cancelled" under timeout 20 "$TEST_BIN_DIR/savers" cancel-open "$work/silent"
    check "a child of vfork opens a file: ends well" under timeout 40 "$TEST_BIN_DIR/savers" vfork "$mnt/vfork"
    check "and all is whole" "$SAVESEAL" verify "$mnt/vfork" "$mnt/vfork.other"
    check "a thread is cancelled in close(): ends well" under timeout 40 "$TEST_BIN_DIR/savers" cancel "$mnt/cancel"
    check "and the image is whole" "$SAVESEAL" verify "$mnt/cancel"
    # somebody else's draft is there while it lists
    "$tool" run --dir "$mnt" -- bash -c 'exec >"$0"; echo >&2; exec sleep 60' "$mnt/others" 2>"$said" &
    looker=$!
    check "another draft is there" wait_until 10 [ -s "$said" ]
    check "scandir, readdir_r and glob list its own draft, and no hidden name" under timeout 60 "$TEST_BIN_DIR/savers" list "$mnt/list"
    kill "$looker"
    wait "$looker" 2>/dev/null
    equal "status and salvage give the same reason" \
        "$(entry "$mnt" others); $("$tool" salvage "$(draft_of others)" "$work/salvaged" | sed -n 's/ *interrupted: *\([^:]*\):.*/\1/p')" \
        "draft interrupted writer-vanished its writer ended without closing it; writer-vanished"
    equal "and has no record of a draft" "$(getfattr -n user.saveseal.draft --only-values "$mnt/killed" 2>/dev/null)" ""
}

# --- a real daemon: it forks to save, and renames what it wrote over the last version ---

redis() { redis-cli -s "$work/redis.sock" "$@" 2>&1; }
redis_answers() { [ "$(redis ping)" = PONG ]; }
redis_rests() { ! redis info persistence | grep -q '_in_progress:1'; }
redis_whole() { "$SAVESEAL" verify "$mnt/dump.rdb" | grep -q ': whole (seal'; }
case_cleanup() {
    local dir
    for dir in above below 'an other'; do
        if mountpoint -q "$work/$dir"; then umount "$work/$dir"; fi
    done
    [ -n "${server:-}" ] || return
    pkill -KILL -P "$server" # a slow BGSAVE
    kill -KILL "$server"
} 2>/dev/null

redis_start() { # OPTION...: its process number into $server
    ln -sf "$(command -v redis-check-rdb)" "$work/redis-server" # one program; the package of that name would bring a service
    "$tool" run --dir "$mnt" -- "$work/redis-server" --port 0 --unixsocket "$work/redis.sock" --dir "$mnt" --save '' \
        --logfile "$work/redis.log" "$@" &
    server=$!
    wait_until 20 redis_answers || {
        tail -n 5 "$work/redis.log"
        return 1
    }
}

redis_stop() {
    local process=$server
    redis shutdown >"$said"
    server=
    wait "$process"
}

# Starts a BGSAVE that takes minutes, and waits until it writes: the process number of its child into $child.
redis_saves_slowly() {
    rm -f "$mnt"/.saveseal.*
    redis config set rdb-key-save-delay 60000000 >"$said"
    redis bgsave >"$said"
    wait_until 20 compgen -G "$mnt/.saveseal.*" >"$said"
    child=$(pgrep -P "$server")
}

redis_saves() {
    rm -f "$mnt"/.saveseal.*
    redis mset a 1 b 2 c 3 >"$said"
    equal "redis: SAVE" "$(redis save)" OK
    check "the image is sealed" redis_whole
    redis set b 22 >"$said"
    redis bgsave >"$said"
    check "BGSAVE ends" wait_until 20 redis_rests
    check "well" grep -q '^rdb_last_bgsave_status:ok' <(redis info persistence)
    check "the image is sealed" redis_whole
    check "shutdown with status 0" redis_stop
    equal "no draft is left" "$(compgen -G "$mnt/.saveseal.*")" ""
    check "it starts again" redis_start
    equal "with what was saved" "$(redis mget a b c)" $'1\n22\n3'
}

redis_killed() {
    local child
    cp "$mnt/dump.rdb" "$work/before"
    redis set a 11 >"$said"
    redis_saves_slowly
    kill -KILL "$child"
    check "the child of a BGSAVE is killed: redis notices" wait_until 20 redis_rests
    check "and says so" grep -q '^rdb_last_bgsave_status:err' <(redis info persistence)
    check "the old version stays" cmp "$mnt/dump.rdb" "$work/before"
    redis_saves_slowly
    kill -KILL "$server" "$child"
    wait "$server" 2>/dev/null
    check "both are killed: the old version stays" cmp "$mnt/dump.rdb" "$work/before"
    check "and is sealed" redis_whole
    check "redis starts" redis_start
    equal "with the old version" "$(redis mget a b c)" $'1\n22\n3'
    check "and ends" redis_stop
}

# A program may close a number once more that it has closed: while the draft is being judged, it is still nobody's.
closed_again() {
    equal "closed again while close() goes on: EBADF each time, and the first one publishes" "$(under "$python" -c 'import errno, fcntl, os, sys, threading, time
def close_again(fd):
    global said
    try:
        while fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY: pass
    except OSError: pass
    time.sleep(0.002) # an open gives it for a moment, before it is moved out of the way
    try: os.close(fd)
    except OSError as error: said = errno.errorcode[error.errno]
    else: said = "closed"
for i in range(10):
    fd = os.open(f"{sys.argv[1]}/again{i}", os.O_WRONLY | os.O_CREAT)
    for _ in range(8): os.write(fd, os.urandom(1 << 20))
    other = threading.Thread(target=close_again, args=[fd])
    other.start()
    os.close(fd)
    other.join()
    print(said, os.path.exists(f"{sys.argv[1]}/again{i}"))' "$mnt" 2>&1 | sort | uniq -c | tr -s ' ')" " 10 EBADF True"
}

# The log is open when redis exits, after libcrypto, which it uses, too, has been cleaned up.
redis_log() {
    check "redis starts, and is to log" redis_start
    redis config set appendonly yes >"$said" # as an option it would begin with an empty log, and not read dump.rdb
    check "the log begins" wait_until 20 redis_rests
    redis set a 111 >"$said"
    equal "BGREWRITEAOF" "$(redis bgrewriteaof)" "Background append only file rewriting started"
    check "it ends" wait_until 20 redis_rests
    check "well" grep -q '^aof_last_bgrewrite_status:ok' <(redis info persistence)
    redis set b 222 >"$said"
    check "shutdown with status 0" redis_stop
    equal "all three files are sealed" "$(entries "$mnt/appendonlydir" | cut -d ' ' -f 2- | sort | uniq -c | tr -s ' ')" \
        " 3 image sealed intact"
    check "it starts again" redis_start --appendonly yes
    equal "with what was rewritten and what came after it" "$(redis mget a b c)" $'111\n222\n3'
    check "and ends" redis_stop
}

redis_daemon() {
    check "redis starts" redis_start
    redis_saves
    redis_killed
    redis_log
}

for part in newer_names never_cut bad_arguments hard_programs refused refused_go started versions kills together commit_at_exit links bind_mounts without_size only_libvirt closed_again reported unnoticed redis_daemon; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
exit $failed
