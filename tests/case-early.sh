#!/bin/bash
# Drafts are synced and digested while they are written: the disk has most of a save before it is closed, and an error that such a sync
# was told of fails the save, although the last one hears of none.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/thin.sh
. "$(dirname "$0")/lib/thin.sh"

python=$(PATH=/usr/bin:/bin command -v python3) || skip "no python3"

case_cleanup() {
    exec 8>&- 9<&-
    if mountpoint -q "$back"; then umount "$back"; fi
    if mountpoint -q "$work/store"; then umount "$work/store"; fi
}

# A writer that writes MIB of a complete image of libvirt under $mnt/image, and closes it when it is told to. Says what came of it.
begin() { # MIB
    mkfifo "$work"/{do,done}
    "$python" -c 'import errno, os, struct, sys
path, size, do, done = sys.argv[1], int(sys.argv[2]), open(sys.argv[3]), open(sys.argv[4], "w")
head = struct.pack("<5I", 2, 4000, 0, 0, 0).ljust(76, b"\0")
try:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"LibvirtQemudPart" + head)
    for i in range(size): os.write(fd, os.urandom(1 << 20))
    os.pwrite(fd, b"LibvirtQemudSave", 0)
    print("written", file=done, flush=True)
    do.readline()
    said = []
    for call in os.fsync, os.close:
        try: call(fd)
        except OSError as error: said.append(call.__name__)
    print(*said or ["closed"], file=done, flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], file=done, flush=True)' "$mnt/image" "$1" "$work/do" "$work/done" &
    writer=$!
    exec 8>"$work/do" 9<"$work/done"
    read -r said <&9
}
finish() { # sets $said
    echo >&8
    read -r said <&9
    wait "$writer"
    exec 8>&- 9<&-
    rm "$work"/{do,done}
}
holds_more_than() { [ "$(stored_mib)" -gt "$1" ]; }

# A fallocate that fails half-way has changed a part: what was digested before is forgotten.
half_way() {
    thin_store 100 || { not_ok "no ext4 on a loop device" && exit 1; }
    start_daemon
    equal "a fallocate that fails half-way" "$("$python" -c 'import ctypes, os, sys
mnt, back = sys.argv[1:]
fd = os.open(mnt + "/image", os.O_RDWR | os.O_CREAT)
for i in range(20): os.write(fd, os.urandom(1 << 20))
os.ftruncate(fd, 80 << 20)
os.fsync(fd)
filler = os.open(back + "/filler", os.O_WRONLY | os.O_CREAT)
try:
    while True: os.write(filler, bytes(1 << 20))
except OSError: pass
libc = ctypes.CDLL(None, use_errno=True)
r = libc.fallocate(fd, 0x11, ctypes.c_long(4096), ctypes.c_long(70 << 20))
print(os.strerror(ctypes.get_errno()) if r else "done", os.pread(fd, 16, 1 << 20) == bytes(16))
os.close(fd)' "$mnt" "$back")" "No space left on device True"
    check "leaves a whole image" wait_until 10 "$SAVESEAL" verify "$mnt/image"
    check "unmounting ends the daemon with status 0" stop_daemon
    umount "$back" "$work/store"
    rm "$work/disk"
}

# What is too small for an early sync: its only sync, at the close, tells of the error.
small() {
    thin_store 100 || { not_ok "no ext4 on a loop device" && exit 1; }
    echo old >"$back/image"
    start_daemon
    use_up_store
    equal "a small image whose data can not be synced" "$("$python" -c 'import errno, os, struct, sys
path = sys.argv[1]
def try_close(fd):
    try: os.close(fd)
    except OSError as error: return errno.errorcode[error.errno]
    return "closed"
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"LibvirtQemudPart" + struct.pack("<5I", 2, 4000, 0, 0, 0).ljust(76, b"\0") + os.urandom(100000))
part = try_close(fd)
fd = os.open(path, os.O_WRONLY)
os.write(fd, b"LibvirtQemudSave")
print(part, try_close(fd))' "$mnt/image")" "closed ENOSPC"
    kill_daemon
    empty_store
    start_daemon
    equal "is not published by the next daemon" "$(cat "$mnt/image")" old
    check "but kept with a reason" wait_until 10 grep -q "draft interrupted" <(entries "$mnt")
    check "unmounting ends the daemon with status 0" stop_daemon
    umount "$back" "$work/store"
    rm "$work/disk"
}

# The most that the keeper or the worker ever had in memory, without a sanitizer's.
peak_kib() {
    local pid most=0 peak
    for pid in "$daemon" $(cat "/proc/$daemon/task/$daemon/children"); do
        peak=$(awk '$1 == "VmHWM:" {print $2}' "/proc/$pid/status")
        [ "$peak" -le "$most" ] || most=$peak
    done
    echo "$most"
}

# However big what is saved: digests are taken, and data are synced, in a bounded memory.
bounded_memory() {
    local before saver savers=()
    is_sanitized "$SAVESEALFS" && return
    start_daemon
    before=$(peak_kib)
    for saver in 1 2 3; do
        dd if=/dev/urandom of="$mnt/big$saver" bs=1M count=400 oflag=direct status=none &
        savers+=($!)
    done
    check "three saves of 400 MiB at once" wait "${savers[@]}"
    check "are sealed" "$SAVESEAL" verify "$mnt"/big{1,2,3}
    check "and memory has grown: $before KiB to $(peak_kib)" test "$(peak_kib)" -gt "$before"
    check "to less than 64 MiB" test "$(peak_kib)" -lt 65536
    rm "$mnt"/big{1,2,3}
    check "unmounting ends the daemon with status 0" stop_daemon
}

half_way
small
bounded_memory
for mode in any libvirt; do
    thin_store 320 || { not_ok "no ext4 on a loop device" && exit 1; }
    start_daemon -o "format=$mode"

    fstrim "$back"
    before=$(stored_mib)
    begin 100
    # Of 100 MiB, in steps of 32; well before the kernel writes anything out by itself (30 s).
    check "format=$mode: most of a save is on the disk before it is closed" wait_until 10 holds_more_than $((before + 60))
    finish
    equal "it is closed without an error" "$said" closed
    check "and sealed" wait_until 10 "$SAVESEAL" verify "$mnt/image"
    sum=$(sha256sum <"$mnt/image")

    use_up_store
    begin 100
    sleep 2 # for the sync that hears of the error
    empty_store
    finish
    equal "format=$mode: the error of an early sync fails fsync() and close()" "$said" "fsync close"
    equal "the old version stays" "$(sha256sum <"$mnt/image")" "$sum"
    check "and the draft is kept with its reason" wait_until 10 grep -q "draft interrupted sync-failed" <(entries "$mnt")
    check "unmounting ends the daemon with status 0" stop_daemon
    umount "$back" "$work/store"
    rm "$work/disk"
done
exit $failed
