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
    os.close(fd)
    print("closed", file=done, flush=True)
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
    # Where the writes are seen each sync is of its own; the error may also be that of the last one.
    check "format=$mode: the error of an early sync fails the save ($said)" test "$said" = EIO -o "$said" = ENOSPC
    equal "the old version stays" "$(sha256sum <"$mnt/image")" "$sum"
    check "and the draft is kept with its reason" wait_until 10 grep -q "draft interrupted sync-failed" <(entries "$mnt")
    check "unmounting ends the daemon with status 0" stop_daemon
    umount "$back" "$work/store"
    rm "$work/disk"
done
exit $failed
