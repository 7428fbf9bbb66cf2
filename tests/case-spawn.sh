#!/bin/bash
# The preload library and how programs start others: what posix_spawn opens for a child is protected, and for the program all is as without
# the library.
# shellcheck disable=SC2016,SC2154,SC2317  # commands are for an inner shell; parts are called by name
BACKEND=preload
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# What was left open for us would be looked for among what the library has open. The script itself stays.
for fd in "/proc/$$/fd"/*; do
    [ "${fd##*/}" -le 2 ] || [ "$fd" -ef "$0" ] || eval "exec ${fd##*/}>&-"
done

python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
spawner=$TEST_BIN_DIR/spawner
plain=$work/plain

# as_without WHAT...: runs spawner in both directories, and compares what it says.
as_without() {
    mkdir -p "$plain"
    equal "$1: ends as without the library" "$(cd / && under timeout 60 "$spawner" "$1" "$mnt" 2>&1 8>&1; echo $?)" \
        "$(cd / && timeout 60 "$spawner" "$1" "$plain" 2>&1 8>&1; echo $?)"
}

# opens what a child is to write.
spawn_opens() {
    local name
    equal "pidfd_spawn: ends well" "$(under timeout 60 "$spawner" pidfd "$mnt" 2>&1)" "1 0"
    equal "pidfd_spawn: it is sealed" "$(entry "$mnt" pidfd), $(<"$mnt/pidfd")" "image sealed intact, spawned"
    as_without reuse
    equal "the third child was whole" "$(<"$mnt/reuse")" third
    equal "and the one that was killed is a draft" "$(entry "$mnt" reuse)" \
        $'image sealed intact\ndraft interrupted writer-vanished its writer ended without closing it'
    as_without elsewhere
    equal "by a name from another directory: it is sealed" "$(entry "$mnt" elsewhere)" "image sealed intact"
    check "with what it is without" cmp "$mnt/elsewhere" "$plain/elsewhere"
    as_without attributes
    for name in attributes.{1..3}; do
        equal "$name: it is sealed" "$(entry "$mnt" "$name")" "image sealed intact"
        check "with what it says without the library" diff "$mnt/$name" "$plain/$name"
    done
    as_without together
    equal "threads at a time: all are sealed" "$(entries "$mnt" | grep -c '^together.*image sealed intact')" 3
    equal "and no draft is left" "$(entries "$mnt" | grep '^together.* draft')" ""
}

spawn_fails() {
    under bash -c 'echo old >"$0"' "$mnt/fail"
    as_without fail
    equal "what could not be started publishes nothing" "$(entry "$mnt" fail | sort -u)" \
        $'draft interrupted writer-exited writer exited with status 127\nimage sealed intact'
    check "the old version stays" grep -qx old "$mnt/fail"
}

# --- what exec closes ---

# opened NAME CODE ARGUMENT...: a program writes "x" to a file that exec will close, and goes on with CODE.
opened() {
    local name=$1 code=$2
    shift 2
    "${run[@]}" "$python" -c "import mmap, os, sys
def descriptors(): return sorted(os.listdir('/proc/self/fd'), key=int)
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
os.write(file, b'x')
$code" "$mnt/$name" "$@"
}

exec_closes() {
    local run=("${runner[@]}") unpublished="draft interrupted writer-vanished its writer ended without closing it"
    equal "what exec closes is there when the next program begins, and that has no more open than without the library" \
        "$(opened exec 'os.execvp("sh", ["sh", "-c", "cat $0; echo; ls /proc/$$/fd", sys.argv[1]])')" $'x\n0\n1\n2'
    equal "and sealed" "$(entry "$mnt" exec)" "image sealed intact"
    equal "an exec that fails closes nothing" "$(opened failed 'before = descriptors()
for path in "/nothing", sys.argv[1]:
    try: os.execv(path, ["x"])
    except OSError: pass
print(descriptors() == before, os.path.exists("/proc/self/root" + sys.argv[1]), os.fstat(file).st_size, *[
    fd for fd in range(100, 4096) if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)])
os.write(file, b"y")
os.close(file)')" "True False 1"
    equal "and close() publishes" "$(<"$mnt/failed"), $(entry "$mnt" failed)" "xy, image sealed intact"
    equal "a program without the library has nothing of ours open" \
        "$(opened scrubbed 'os.execve("/bin/sh", ["sh", "-c", "ls /proc/$$/fd"], {})')" $'0\n1\n2'
    equal "and what it closed is a draft" "$(entry "$mnt" scrubbed)" "$unpublished"
    opened static 'os.execv(sys.argv[2], ["static"])' "$TEST_BIN_DIR/static" >"$work/static" 2>&1
    equal "nor does a static one judge it" "$(entry "$mnt" static)" "$unpublished"
    opened mapped 'memory = mmap.mmap(file, 1)
os.close(file)
memory[0] = 90
os.execv("/bin/true", ["true"])'
    equal "a mapping that exec ends" "$(<"$mnt/mapped"), $(entry "$mnt" mapped)" "Z, image sealed intact"
    opened heir 'if os.fork() == 0:
    while os.getppid() == int(sys.argv[2]): pass
    os.execv("/bin/true", ["true"])
os.close(file)' $$ &
    wait $!
    check "a child that calls exec when its parent has closed and ended" wait_until 10 grep -qsx x "$mnt/heir"
    opened child 'if os.fork() == 0: os.execv("/bin/true", ["true"])
os.wait()
os.write(file, b"y")
os.kill(os.getpid(), 9)' 2>/dev/null
    equal "a child that calls exec closes nothing of its parent's" "$(entry "$mnt" child)" "$unpublished"
    opened twice 'os.execv("/bin/sh", ["sh", "-c", "exec sh -c \"exec true\""])'
    equal "exec after exec" "$(entry "$mnt" twice)" "image sealed intact"
}

exec_at_exit() {
    local run=("${runner[@]}") status
    run=("${run[@]:0:${#run[@]}-1}" --commit exit --)
    for status in 0 3; do
        opened "exit$status" 'os.close(file)
os.execv("/bin/sh", ["sh", "-c", "exit $0", sys.argv[2]])' "$status"
        equal "--commit exit: closed, then another program, that ends with $status" $? "$status"
    done
    equal "published" "$(entry "$mnt" exit0)" "image sealed intact"
    equal "and kept" "$(entry "$mnt" exit3)" "draft interrupted writer-exited writer exited with status 3"
}

for part in exec_closes exec_at_exit spawn_opens spawn_fails; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
exit $failed
