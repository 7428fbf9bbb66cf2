#!/bin/bash
# qcow2 images without a seal: whole or not, by what is inside, and whether qemu-img says the same.
# shellcheck disable=SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/disk.sh
. "$(dirname "$0")/lib/disk.sh"

damage=$(dirname "$0")/lib/qcow2_damage.py

says() { disk_says "$1" "$2" "${3---deep}"; } # STATUS PATTERN [OPTION]
# facts [deep]: all of them in one line, "key=text key=text"
facts() { "$TEST_BIN_DIR/facts" "$image" "$@" | tail -n +3 | sed 's/: /=/' | paste -sd ' '; }
new() { qemu-img create -q -f qcow2 "$@"; }
io() { qemu-io -t unsafe -f qcow2 "$@" >"$work/said" 2>&1; }
poke() { # OFFSET HEX: writes bytes
    "$python" -c "import sys; sys.stdout.buffer.write(bytes.fromhex('$2'))" | dd of="$image" bs=1 seek="$1" conv=notrunc status=none
}

check "images of all kinds, as QEMU leaves them, are complete" "$python" "$damage" whole "$SAVESEAL" "$work"
# Each 20th of some 9,000 damages at 100 percent (QCOW2_STEP): qemu-img takes most of the time.
check "damaged in each field and table, and cut: nothing contradicts qemu-img check but what docs/verify.md lists" \
    timeout 280 "$python" "$damage" damage "$SAVESEAL" "$work" $((${QCOW2_STEP:-20} * 100 / ${ROUNDS_PERCENT:-100}))

new -o backing_fmt=qcow2,backing_file="$work/base",extended_l2=on,compression_type=zstd "$image" 1G
qemu-img bitmap --add "$image" ck1
qemu-img snapshot -c one "$image"
equal "facts" "$(facts)" "version=3 virtual-size=1073741824 cluster-size=65536 compression=zstd backing=$work/base backing-format=qcow2 snapshots=1 bitmaps=1 bitmap=ck1"
shown=$("$SAVESEAL" show "$image" 2>/dev/null | tr -s ' ')
check "show tells them, too" test "$(grep -cxE " (inside: qcow2 disk image|judged: end-unproven: .*|virtual-size: 1073741824|compression: zstd|\
backing: $work/base|snapshots: 1|bitmap: ck1)" <<<"$shown")" -eq 7
new -o data_file="$work/data" "$image" 1M
equal "facts of one with a data file" "$(facts)" "version=3 virtual-size=1048576 cluster-size=65536 compression=zlib data-file=$work/data snapshots=0 bitmaps=0"
new -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.hash-alg=sha512 --object secret,id=s,data=x "$image" 1M
equal "of an encrypted one" "$(facts | grep -o 'encrypted=.* snap')" "encrypted=luks snap"

new -o cluster_size=4K "$image" 1M
io -c "write 0 100K" "$image"
equal "nothing has leaked" "$(facts deep | grep -o 'leaked.*')" "leaked-clusters=0"
size=$(stat -c %s "$image")
truncate -s +4096 "$image"
next=$((8193 + size / 2048)) # the size is one of whole clusters
poke $next 01 # the count of that cluster
check "one has: no harm is done" says 0 "*complete*"
equal "it is told of" "$(facts deep | grep -o 'leaked.*')" "leaked-clusters=1"
poke $((next - 2)) 02 # and of the last one of the disk
check "the count of a cluster is too high, and its table says that nobody else uses it" says 1 \
    "*structure-damaged*is counted 2 times, and its table says once*"

new -o cluster_size=4K "$image" 1M
io -c "write 0 100K" "$image"
size=$(stat -c %s "$image")
check "whole" says 0 "*complete by its own marks (qcow2 disk image, *1 *"
check "not deep: nothing is known, for nothing is counted" says 4 "*no seal*" --json
truncate -s +1M "$image"
check "longer than it need be" says 0 "*complete*"
truncate -s $((size - 4096)) "$image"
check "cut by a cluster" says 1 "*damaged: structure-damaged*leads to what is not in the file*"
truncate -s 13000 "$image"
check "cut, so that tables are missing: that is seen without --deep" says 1 "*structure-damaged*not in the file*" --json

# An image whose machine was killed, and one that is in use.
new -o lazy_refcounts=on "$image" 10M
qemu-io -f qcow2 -c "write 0 1M" -c "sigraise 9" "$image" >"$work/said" 2>&1
check "with lazy reference counts, killed" says 1 "*needs-repair*its reference counts are not up to date*qemu-img check -r all*"
check "that is seen without --deep" says 1 "*needs-repair*" --json
check "repaired" qemu-img check -q -r all "$image"
check "it is complete" says 0 "*complete*"
disk_use "a program writes to the image" "write 0 1M" "wrote"
check "while it has it open: try again" says 3 "*busy*has the disk open for writing*"
exec 9>&-
wait $machine
check "it has closed it" says 0 "*complete*"
disk_use "another reads it" "read 0 1M" "read 1048576" -r
check "that is no matter" says 0 "*complete*"
exec 9>&-
wait $machine

poke 79 02
check "marked as corrupt" says 1 "*structure-damaged*marked it so*"
poke 79 20
check "features that are not known" says 4 "*format-unsupported*needs features that are not known*"
poke 79 00
poke 4 00000004
check "a version that is not known" says 4 "*format-unsupported*version 4*"

# More than one window of clusters; nearly all of the file is a hole.
new -o preallocation=metadata "$image" 140G
check "an image of 140 GiB" says 0 "*complete*"
equal "nothing has leaked there" "$(facts deep | grep -o 'leaked.*')" "leaked-clusters=0"
size=$(stat -c %s "$image")
truncate -s $((size - 65536)) "$image"
check "without its last cluster" says 1 "*not in the file*"
truncate -s "$size" "$image"
block=$("$python" -c "
import struct, sys
with open(sys.argv[1], 'rb') as file:
    table = struct.unpack('>Q', file.read(56)[48:])[0]
    file.seek(table + 8 * 65)
    print(struct.unpack('>Q', file.read(8))[0])" "$image")
poke $((block + 200)) 0000
check "a count in the second window" says 1 "*structure-damaged*is used 1 times, and counted 0*"
poke $((block + 200)) 0002
check "one that is too high there" says 1 "*structure-damaged*is counted 2 times, and its table says once*"

new -o cluster_size=512 "$image" 1M
truncate -s 1T "$image"
check "one that would take long for nothing" says 4 "*format-unsupported*too large*"
exit $failed
