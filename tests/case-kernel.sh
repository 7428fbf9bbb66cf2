#!/bin/bash
# What the kernel does by itself: reads images, writes drafts of -o format=libvirt, remembers names. And where it can not, or must not.
# shellcheck disable=SC2016,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/restart.sh
. "$(dirname "$0")/lib/restart.sh"

python=$(PATH=/usr/bin:/bin command -v python3) || skip "no python3"
writer=$TEST_BIN_DIR/writer
modes=,${MOUNT_OPTIONS:-},

linux() { # 609: is it 6.9 or newer?
    local release
    IFS=.- read -r -a release < <(uname -r)
    [ $((release[0] * 100 + release[1])) -ge "$1" ]
}
by_itself() { linux 609 && [[ $modes != *,nopassthrough,* ]]; } # does the kernel?
serve() { # OPTION...: anew
    [ -z "$daemon" ] || stop_daemon || not_ok "the daemon did not end with status 0"
    start_daemon "$@"
}
stopped() { # COMMAND...: while nobody serves
    local status pid
    pid=$(worker)
    kill -STOP "$pid"
    "$@"
    status=$?
    kill -CONT "$pid"
    return "$status"
}
state() { entry "$mnt" "$1"; }
becomes() { check "$1" wait_until 10 test "$(state "$2")" = "$3"; } # TEXT NAME STATE
sealed() { wait_until 10 "$SAVESEAL" verify "$mnt/$1" >/dev/null 2>&1; }
new_image() { # NAME: of 3 MB and a little
    head -c 3000001 /dev/urandom >"$work/$1"
    cp "$work/$1" "$mnt/$1"
    sealed "$1"
}

reading() {
    new_image one
    exec 6<"$mnt/one"
    if by_itself; then
        check "an open image is read while nobody serves" stopped timeout 5 cmp "$work/one" - <&6
    else
        check "an open image is read" cmp "$work/one" - <&6
    fi
    exec 6<&- 6<"$mnt/one" 7<"$mnt/one"
    check "opened twice" cmp "$work/one" - <&7
    new_image two
    mv "$mnt/two" "$mnt/one"
    check "another version: a new open has it" cmp "$work/two" "$mnt/one"
    check "and who had the old one keeps that" cmp "$work/one" - <&6
    exec 6<&- 7<&-
    equal "O_DIRECT" "$(dd if="$mnt/one" iflag=direct bs=64K status=none | cksum)" "$(cksum <"$work/two")"
    check "mapped, by many at once, with new versions meanwhile" mapped
    truncate -s 1M "$mnt/one"
    check "shortened" cmp "$mnt/one" <(head -c 1M "$work/two")
    kill -KILL "$(worker)"
    check "and after a worker was killed" cmp "$mnt/one" <(head -c 1M "$work/two")
    equal "no open failed" "$(grep -c 'open refused' "$log")" 0
}
mapped() {
    "$python" - "$mnt/mapped" <<'END'
import mmap, os, sys, threading
path, wrong = sys.argv[1], []

def save(version):
    with open(path + ".new", "wb") as file:
        file.write(bytes([version]) * (200000 + version))
    os.rename(path + ".new", path)

def look():
    for _ in range(150):
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as image:
            if len(set(image[:])) != 1 or len(image) != 200000 + image[0] or file.read() != image[:]:
                wrong.append(len(image))

save(0)
lookers = [threading.Thread(target=look) for _ in range(4)]
for looker in lookers: looker.start()
for version in range(1, 60): save(version)
for looker in lookers: looker.join()
sys.exit(len(wrong))
END
}

# The name of an image that was renamed is the one that a save of it replaces, also while the kernel remembers it.
renamed() {
    echo one >"$mnt/from"
    sealed from
    cat "$mnt/from" >/dev/null
    "$python" -c 'import os, sys
os.rename(sys.argv[1], sys.argv[2])
with open(sys.argv[2], "a") as file: file.write("two\n")
os.truncate(sys.argv[2], 6)' "$mnt/from" "$mnt/to"
    equal "an image that was just renamed is edited under its new name" "$(cat "$mnt/to")" "$(printf 'one\ntw')"
    check "and the old name is not there" test ! -e "$mnt/from"
    "$python" -c 'import ctypes, os, sys
one, two = sys.argv[1:]
for path in one, two:
    with open(path, "w") as file: file.write(path[-1])
    os.stat(path)
ctypes.CDLL(None).renameat2(-100, one.encode(), -100, two.encode(), 2)
for path in one, two:
    with open(path, "a") as file: file.write("x")' "$mnt/a" "$mnt/b"
    equal "so are two that were exchanged" "$(cat "$mnt/a") $(cat "$mnt/b")" "bx ax"
    equal "and two names of one file" "$("$python" -c 'import ctypes, os, sys
one, two = sys.argv[1:]
open(one, "w").close()
os.link(one, two)
for i in range(20):
    os.stat(sys.argv[1 + i % 2])
    ctypes.CDLL(None).renameat2(-100, one.encode(), -100, two.encode(), 2)
    os.close(os.open(one, os.O_WRONLY | os.O_APPEND))' "$mnt/d" "$mnt/e" 2>&1)" ""
    ln "$mnt/a" "$mnt/c"
    chmod 640 "$mnt/c"
    equal "two names of one file show the same" "$(stat -c '%h %a' "$mnt/a")" "2 640"
}

# What the kernel remembers of an image goes along when a stranger renames it, which must not lead a family past its draft.
moved() {
    mkfifo "$work"/{ask,said}
    "$python" -c 'import os, sys
path, ask, said = sys.argv[1:]
draft = open(path, "w")
draft.write("x" * 100)
draft.flush()
with open(said, "w") as out:
    for line in open(ask):
        print(os.stat(path).st_size, file=out, flush=True)' "$mnt/taken" "$work/ask" "$work/said" &
    local writer_pid=$!
    equal "an image that a stranger renames to where there is a draft is not shown to its family" "$("$python" - "$mnt" "$work" <<'END'
import os, sys
mnt, work = sys.argv[1:]
wrong = 0
with open(work + "/said") as said, open(work + "/ask", "w") as ask:
    for i in range(100):
        image = "%s/image.%d" % (mnt, i)
        with open(image, "w") as file:
            file.write("image")
        while os.stat(image).st_size != 5 or "user.saveseal.seal" not in os.listxattr(image):
            pass
        os.stat(image)
        os.rename(image, mnt + "/taken")
        print(file=ask, flush=True)
        wrong += said.readline() != "100\n"
        wrong += os.stat(mnt + "/taken").st_size != 5
print(wrong)
END
)" 0
    wait "$writer_pid"
    rm "$work"/{ask,said}
}

cached() { fincore -bnro RES "$1"; }
draft_is_cached() { [ "$(cached "$back"/.saveseal.*)" -gt "$1" ]; } # BYTES
draft_is_dropped() { ! draft_is_cached 20000000; }
# Begins to write 200 MiB with O_DIRECT: waits in the middle and in the end, as long as the files of these names are there.
write_direct() {
    "$python" - "$mnt/direct" "$work" <<'END' &
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
block = mmap.mmap(-1, 1 << 20)
def wait(name):
    while os.path.exists(os.path.join(sys.argv[2], name)):
        time.sleep(0.01)
for i in range(200):
    if i == 100:
        wait("middle")
    block[:8] = i.to_bytes(8, "little")
    os.write(fd, block)
wait("hold")
os.close(fd)
END
}
o_direct() {
    local writer_pid
    touch "$work/hold"
    write_direct
    writer_pid=$!
    wait_until 20 draft_has 209715200
    if [ "$(stat -f -c %T "$back")" != tmpfs ]; then
        check "a save with O_DIRECT does not fill the page cache while it goes on" wait_until 10 draft_is_dropped
    fi
    rm "$work/hold"
    wait "$writer_pid"
    wait_until 10 test -e "$back/direct"
    if [ "$(stat -f -c %T "$back")" != tmpfs ]; then
        check "and is not left there" test "$(cached "$back/direct")" -lt 1000000
    fi
    check "it is sealed" sealed direct
    rm "$mnt/direct"
}

# What a worker dropped its successor does not read again before the close has to.
read_by() { awk '$1 == "read_bytes:" {print $2}' "/proc/$1/io"; } # PID: from disks
restarted() {
    local writer_pid
    touch "$work"/{middle,hold}
    write_direct
    writer_pid=$!
    wait_until 20 draft_has 104857600
    wait_until 10 draft_is_dropped
    kill -KILL "$(worker)"
    rm "$work/middle"
    wait_until 20 draft_has 209715200
    wait_until 10 draft_is_dropped
    check "a new worker reads little of a save with O_DIRECT again" test "$(read_by "$(worker)")" -lt 50000000
    rm "$work/hold"
    wait "$writer_pid"
    check "it is sealed" sealed direct
    rm "$mnt/direct"
}

writing() {
    o_direct
    [ "$(stat -f -c %T "$back")" = tmpfs ] || restarted
    "$python" - "$mnt/sparse" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.ftruncate(fd, 1 << 40)
for i in range(20): os.pwrite(fd, os.urandom(1 << 20), i * (50 << 30))
os.close(fd)
END
    check "a file of 1 TiB that is nearly all hole is sealed" sealed sparse
    equal "and still takes no more than its data" "$(($(stat -c %b "$back/sparse") < 100000))" 1
    rm "$mnt/sparse"
}

# What was digested while a program waited for its fsync is forgotten when it changes that again.
ahead() {
    local mode
    for mode in any libvirt; do
        serve -o "format=$mode"
        equal "format=$mode: what changes after an fsync is digested anew" "$("$python" - "$mnt" "$SAVESEAL" <<'END'
import ctypes, os, struct, subprocess, sys, time
mnt, tool = sys.argv[1:]
libc = ctypes.CDLL(None)
SIZE = 12 << 20
def nothing(fd): pass
def middle(fd): os.pwrite(fd, b"changed", 5 << 20)
def border(fd): os.pwrite(fd, b"changed", (6 << 20) - 3)
def old_time(fd):
    before = os.fstat(fd)
    middle(fd)
    os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
def shorter(fd):
    os.ftruncate(fd, 7 << 20)
    os.ftruncate(fd, SIZE)
def hole(fd):
    libc.fallocate(fd, 3, ctypes.c_long(2 << 20), ctypes.c_long(1 << 20))
def child(fd):
    pid = os.fork()
    if pid == 0:
        middle(fd)
        os._exit(0)
    os.waitpid(pid, 0)
def synced_again(fd):
    middle(fd)
    os.fsync(fd)
    border(fd)
def mapped(fd):
    import mmap
    with mmap.mmap(fd, SIZE) as image:
        image[4 << 20:(4 << 20) + 3] = b"new"
changes = [nothing, middle, border, old_time, shorter, hole, child, synced_again, mapped] * 2
for i, change in enumerate(changes):
    path = "%s/ahead.%d" % (mnt, i)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, (b"LibvirtQemudPart" + struct.pack("<5I", 2, 4000, 0, 0, 0)).ljust(92, b"\0") + os.urandom(SIZE - 92))
    time.sleep(0.03)
    os.fsync(fd)
    change(fd)
    os.close(fd)
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"LibvirtQemudSave", 0)
    os.close(fd)
    said = subprocess.run([tool, "verify", path], capture_output=True, text=True)
    if said.returncode:
        print(change.__name__, said.stdout, said.stderr)
    os.unlink(path)

# An edit makes its draft late, so that the kernel begins to write it by itself only when it is opened again.
path = mnt + "/edited"
for magic in b"Part", b"Part":
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, (b"LibvirtQemud" + magic + struct.pack("<5I", 2, 4000, 0, 0, 0)).ljust(92, b"\0") + os.urandom(SIZE - 92))
    os.fsync(fd)
    os.close(fd)
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"LibvirtQemudSave", 0)
    os.pwrite(fd, b"changed", 5 << 20)
    os.close(fd)
    said = subprocess.run([tool, "verify", path], capture_output=True, text=True)
    if said.returncode:
        print("edited", said.stdout, said.stderr)
END
)" ""
    done
    serve
}

# --- -o format=libvirt ---

draft_has() { [ "$(stat -c %s "$back"/.saveseal.* 2>/dev/null)" = "$1" ]; } # BYTES
go_on() { rm "$work/hold" && wait_until 4 draft_has 204892; }

unseen() {
    serve -o format=libvirt
    touch "$work/hold"
    "$writer" "$mnt/save" create part:4K at:92 write:100K "hold:$work/hold" write:100K close open save:4K close &
    local pid=$!
    wait_until 10 draft_has 102492
    if by_itself; then
        check "a draft is written while nobody serves" stopped go_on
    else
        rm "$work/hold"
    fi
    wait "$pid"
    check "and sealed when its header says that it is complete" sealed save
    cp "$mnt/save" "$mnt/copy"
    check "a copy of an image is one as well" sealed copy
    over_and_over
    [ "$(stat -f -c %T "$back")" = tmpfs ] || o_direct # seen: it is no save image of libvirt, and is saved
    in_two_ways direct plain
    in_two_ways plain direct
    if by_itself; then
        equal "anything else is refused at close()" "$("$writer" "$mnt/else" create write:100K close)" "close: EINVAL"
        becomes "and kept" else "draft interrupted writes-unseen -o format=libvirt, and this is no save image of libvirt"
        not_believed
        dead_daemon
        dd if=/dev/zero of="$mnt/save" bs=100 count=1 seek=10 conv=notrunc status=none
        check "an edit goes through savesealfs, and is sealed" sealed save
        full
    fi
    serve -o format=libvirt,nopassthrough
    equal "where savesealfs writes and sees each write, anything is saved" "$("$writer" "$mnt/seen" create write:100K close)" ""
    check "and sealed" sealed seen
    serve
}

# Two descriptors, with O_DIRECT and without, and the header as libvirt ends it. Only one of the two ways may be taken, by
# the kernel or through us, whoever comes first.
in_two_ways() { # FIRST SECOND: direct|plain
    local dir
    for dir in "$work" "$mnt"; do
        "$python" - "$dir/$1-$2" "$@" <<'END'
import mmap, os, struct, sys
path, ways = sys.argv[1], {"direct": os.O_DIRECT, "plain": 0}
block = mmap.mmap(-1, 1 << 16)
block[:36] = b"LibvirtQemudPart" + struct.pack("=5I", 2, 4000, 0, 0, 0)
first = os.open(path, os.O_CREAT | os.O_WRONLY | ways[sys.argv[2]])
for i in range(0, 40, 2):
    os.pwrite(first, block, i << 16)
    block[:36] = struct.pack("=9I", *range(i, i + 9))
second = os.open(path, os.O_WRONLY | ways[sys.argv[3]])
for i in range(1, 40, 2):
    block[:4] = struct.pack("=I", i)
    os.pwrite(second if i % 4 == 1 else first, block, i << 16)
os.close(first)
os.close(second)
last = os.open(path, os.O_WRONLY)
os.write(last, b"LibvirtQemudSave")
os.close(last)
END
    done
    check "opened $1, and then $2: it is sealed" sealed "$1-$2"
    check "and is what was written" cmp "$work/$1-$2" "$mnt/$1-$2"
}

# The old version stays until the new one says that it is complete; a writer that dies leaves its draft.
over_and_over() {
    cp "$mnt/save" "$work/before"
    "$writer" "$mnt/save" create part:4K at:92 seed:7 write:50K close kill:9 >/dev/null 2>&1
    check "a writer that is killed before its image is complete: the old version stays" cmp "$work/before" "$mnt/save"
    check "and the draft" test "$(state save | grep -c '^draft')" = 1
    "$writer" "$mnt/save" create part:4K at:92 seed:7 write:50K close open save:4K close
    check "a new version, as libvirt writes it" sealed save
    equal "has its size" "$(stat -c %s "$mnt/save")" $((92 + 50 * 1024))
}

keeps() { # TEXT REASON STEP...: nothing is published
    local text=$1 reason=$2
    shift 2
    rm -f "$back/kept" "$back"/.saveseal.*
    "$writer" "$mnt/kept" "$@" >/dev/null 2>&1
    check "$text: nothing is published" test ! -e "$mnt/kept"
    equal "$text: kept" "$(state kept | cut -d' ' -f-3)" "draft interrupted $reason"
}
not_believed() {
    keeps "a child that writes is killed" writer-killed create fork [ save:4K at:92 write:100K kill:9 ] join close
    keeps "a child that writes fails" writer-exited create fork [ save:4K at:92 write:100K exit:1 ] join close
    keeps "half a copy after a partial image" writer-exited create part:4K at:92 write:50K close create save:4K at:92 write:50K close exit:1
    keeps "half a copy that was closed before it had a header" writer-exited \
        create text:LibvirtQemudSave fork [ close ] join save:4K at:92 write:50K close exit:1
    "$writer" "$mnt/late" create text:Libvirt fork [ close ] join part:4K at:92 write:50K close open save:4K close >/dev/null
    check "what a close in between finds is not the last word" sealed late
    "$python" -c 'import shutil, sys; shutil.copy2(*sys.argv[1:])' "$mnt/save" "$mnt/dated"
    check "times that are set after the close are no change" sealed dated
    equal "and stay" "$(stat -c %Y "$mnt/dated")" "$(stat -c %Y "$mnt/save")"
}

# The kernel goes on writing when the daemon is dead; but the draft's lock ends with that.
dead_daemon() {
    local writing looking
    rm -f "$back"/.saveseal.*
    touch "$work/hold"
    (cd "$mnt" && exec sleep 100) &
    looking=$!
    "$writer" "$mnt/orphan" create part:4K at:92 write:100K "hold:$work/hold" write:100K close >/dev/null 2>&1 &
    writing=$!
    wait_until 10 draft_has 102492
    kill_daemon
    wait_until 10 eval '! mounted "$mnt"'
    start_daemon -o format=libvirt
    check "a daemon that died while somebody is in the mount: the draft is interrupted" \
        wait_until 10 test "$(state orphan | cut -d' ' -f-3)" = "draft interrupted daemon-died"
    rm "$work/hold"
    wait "$writing"
    kill "$looking"
    wait "$looking" 2>/dev/null
}

# A copy of a complete image says that it is complete from its first byte on, whatever did not fit.
full() {
    stop_daemon
    mount -t tmpfs -o size=20M none "$back"
    start_daemon -o format=libvirt
    "$writer" "$mnt/good" create part:4K at:92 write:50K close open save:4K close
    check "an image on a nearly full disk" sealed good
    dd if=/dev/zero of="$back/filler" bs=4K status=none 2>/dev/null
    "$writer" "$mnt/good" create write:1M close nap:100 >/dev/null
    equal "is not replaced by an empty one" "$(stat -c %s "$mnt/good")" $((92 + 50 * 1024))
    rm "$back/filler" "$back"/.saveseal.*
    "$writer" "$work/big" create save:4K at:92 write:4M
    truncate -s 40M "$work/big"
    cp --sparse=never "$work/big" "$mnt/full" 2>/dev/null
    check "cp to a full disk: nothing is published" test ! -e "$mnt/full"
    equal "and the draft is kept with its reason" "$(state full | cut -d' ' -f-3)" "draft interrupted write-failed"
    rm -f "$back"/.saveseal.*
    rm -f "$back"/.saveseal.*
    dd bs=1M status=none if="$work/big" of="$mnt/full" 2>/dev/null
    check "dd to a full disk: nothing is published" test ! -e "$mnt/full"
    check "and the draft is kept" test "$(state full | cut -d' ' -f-2)" = "draft interrupted"
    stop_daemon
    umount "$back"
    start_daemon
}

# What the kernel remembers of a mount whose keeper was just killed does not make it one that works.
replaced() {
    local i
    for i in 1 2 3; do
        stat "$mnt" >/dev/null
        kill -KILL "$daemon"
        wait "$daemon" 2>/dev/null
        start_daemon
        check "a dead mount is replaced at once ($i)" wait_until 10 works
        equal "and is not left below ($i)" "$(grep -c " $mnt " /proc/self/mountinfo)" 1
    done
}

# --- where the kernel can not ---

fallback() {
    by_itself || return 0
    stop_daemon
    : >"$log"
    mkdir "$work"/{lower,upper,work}
    if mount -t tmpfs none "$work/upper" && mkdir "$work"/upper/{upper,work} &&
        mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper/upper,workdir=$work/upper/work,userxattr" none "$back" 2>/dev/null; then
        start_daemon
        new_image one
        for _ in 1 2 3; do
            check "a backing directory on an overlay: an image is read" cmp "$work/one" "$mnt/one"
        done
        kill -KILL "$(worker)"
        check "and by the next worker" cmp "$work/one" "$mnt/one"
        equal "and it is said once that the kernel can not do it" "$(grep -c 'can not read images by itself' "$log")" 1
        check "and why" grep -q 'by itself: the backing file system stands on another one' "$log"
        stop_daemon
        umount "$back"
    else
        echo "# no overlay with user xattrs here: left out"
    fi
    umount "$work/upper"
    start_daemon
}

# An overlay of this mount: the kernel stacks two file systems at most, and passthrough is to take no more than one place.
below_overlay() {
    new_image one
    cat "$mnt/one" >/dev/null # by passthrough, where there is any
    mkdir -p "$work"/{bottom,over}
    mount -t overlay -o "lowerdir=$back:$work/bottom" none "$work/over" 2>/dev/null || {
        echo "# no overlay here: left out"
        return
    }
    umount "$work/over"
    check "an overlay can be mounted over the mount" mount -t overlay -o "lowerdir=$mnt:$work/bottom" none "$work/over" || return
    check "and shows its images" cmp "$work/one" "$work/over/one"
    umount "$work/over"
}

# Several threads that write to one draft (multifd): their writes are done side by side. Each is held up before it is done, and the
# trace tells how many had begun by then. Where drafts go through the page cache it is the kernel that writes, one after the other.
side_by_side() {
    if [[ $modes == *,nodirect,* ]] || ! linux 606; then
        echo "# no direct I/O here: left out"
        return
    fi
    stop_daemon
    start_held_up "$work/writes" pwrite64 100000
    check "four threads write to one draft" "$python" -c 'import os, sys, threading
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.ftruncate(fd, 4 << 20)
def write(i):
    start.wait()
    os.pwrite(fd, os.urandom(1 << 20), i << 20)
start = threading.Barrier(4)
all = [threading.Thread(target=write, args=[i]) for i in range(4)]
[one.start() for one in all]
[one.join() for one in all]
os.close(fd)' "$mnt/parallel"
    check "which is sealed" sealed parallel
    check "and the daemon does several writes at a time" test "$(most_at_once)" -gt 1
    stop_daemon
    start_daemon
}
most_at_once() {
    awk '/pwrite64\(/ {now++} / = / {now--} now > most {most = now} END {print most + 0}' "$work/writes"
}

start_daemon
for part in reading renamed moved writing ahead unseen replaced fallback below_overlay side_by_side; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    run_part $part
done
check "unmounting ends the daemon with status 0" stop_daemon
exit $failed
