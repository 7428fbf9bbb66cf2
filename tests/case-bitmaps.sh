#!/bin/bash
# Persistent bitmaps of qcow2 images: what saveseal says of them, and whether qemu-img says the same.
# shellcheck disable=SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/disk.sh
. "$(dirname "$0")/lib/disk.sh"

words="checkpoint inconsistent: missing or broken bitmap 'ck1' for disk 'vdb'"

says() { disk_says "$1" "$2" "--bitmap=${3-ck1=vdb}"; } # STATUS PATTERN [BITMAP[=DISK]]
new() {
    rm -f "$image"
    qemu-img create -q -f qcow2 "$@" && qemu-img bitmap --add "$image" ck1
}

for size in 1 64K 100M 1G 1T; do
    new "$image" $size
    qemu-img bitmap --add -g 2M "$image" coarse
    check "a disk of $size: its bitmap" says 0 "*the bitmap is good*1 bitmap good"
    check "another" says 0 "*the bitmap is good*" coarse
done
check "one that is not there" says 5 "*missing or broken bitmap 'ck2' for disk 'vdb': there is none of that name*take a full backup*" ck2=vdb
check "the disk's name is the file's, if it is not given" says 5 "*'nothing' for disk 'disk'*" nothing
qemu-img bitmap --disable "$image" ck1
check "one that records nothing" says 5 "*$words: it records no changes*"
new -o data_file="$work/data",data_file_raw=on "$image" 1G
check "with an external data file" says 0 "*the bitmap is good*"
new -o cluster_size=2M "$image" 1G
check "with large clusters" says 0 "*the bitmap is good*"
qemu-img create -q -f qcow2 -o compat=0.10 "$image" 1G
check "an old image has none" says 5 "*$words: there is none of that name*"
qemu-img create -q -f raw "$image" 1G
check "a raw image can have none" says 2 "*unsupported configuration: checkpoint for disk vdb unsupported for storage type raw*"
head -c 4000 /dev/urandom >"$image"
check "nor what is no image" says 2 "*unsupported for storage type raw*"
rm "$image"
check "what is not there" says 2 "*not-found*"
mkdir "$image"
check "a directory" says 2 "*"
rmdir "$image"

# The backing chain: old, middle and the image, each with the bitmap or without.
chain() { # BITMAP-IN-OLD BITMAP-IN-MIDDLE
    rm -f "$image" "$work/old" "$work/middle"
    qemu-img create -q -f qcow2 "$work/old" 64M
    qemu-img create -q -f qcow2 -b old -F qcow2 "$work/middle"
    qemu-img create -q -f qcow2 -b "$work/middle" -F qcow2 "$image"
    qemu-img bitmap --add "$image" ck1
    [ "$1" = 0 ] || qemu-img bitmap --add "$work/old" ck1
    [ "$2" = 0 ] || qemu-img bitmap --add "$work/middle" ck1
}
chain 0 0
check "a chain: the bitmap is in the image alone" says 0 "*the bitmap is good*"
chain 0 1
check "in the one below, too" says 0 "*the bitmap is good*"
chain 1 1
check "in all" says 0 "*the bitmap is good*"
chain 1 0
check "with a gap" says 5 "*$words: an image above it has none, in the backing file $work/old*"
chain 0 1
qemu-img bitmap --disable "$work/middle" ck1
check "broken below" says 5 "*$words: it records no changes, in the backing file $work/middle*"
qemu-img rebase -u -f qcow2 -b nbd://localhost/x -F qcow2 "$image"
check "a chain that can not be followed" says 4 "*not-local*"
qemu-img rebase -u -f qcow2 -b "$work/nothing" -F qcow2 "$image"
check "one whose next file is not there" says 5 "*$words: there is no such file, in the backing file $work/nothing*"
qemu-img rebase -u -f qcow2 -b /dev/zero -F qcow2 "$image"
check "one that leads to a device" says 4 "*not-local*"
qemu-img rebase -u -f qcow2 -b "$image" -F qcow2 "$image"
check "one that bites its tail" says 5 "*the chain does not end*"
chain 1 0
qemu-img rebase -u -f qcow2 -b "$work/old" -F raw "$work/middle"
check "what is raw below is not asked, whatever a guest wrote there" says 0 "*the bitmap is good*"

# A checkpoint with its disks.
disks() { # DISK-LINES-OF-THE-CHECKPOINT
    cat <<XML
<domaincheckpoint><name>ck1</name><disks>$1</disks>${2:-}</domaincheckpoint>
XML
}
domain="<domain type='qemu'><devices>
<disk type='file'><driver type='qcow2'/><source file='$work/a'/><target dev='vda'/></disk>
<disk type='file'><driver type='qcow2'/><source file='$work/b'/><target dev='vdb'/></disk>
<disk type='file'><driver type='raw'/><source file='$work/c'/><target dev='vdc'/></disk>
<disk type='network'><driver type='qcow2'/><source protocol='nbd'/><target dev='vdd'/></disk>
</devices></domain>"
echo "$domain" >"$work/domain.xml"
for disk in a b; do
    qemu-img create -q -f qcow2 "$work/$disk" 10M
done
qemu-img bitmap --add "$work/a" ck1
checkpoint() { # STATUS PATTERN DISK-LINES
    local status
    disks "$3" "$domain" >"$work/checkpoint.xml"
    "$SAVESEAL" checkpoint-check "$work/checkpoint.xml" >"$work/out" 2>&1
    status=$?
    # shellcheck disable=SC2053  # a pattern
    [ "$status" -eq "$1" ] && [[ $(<"$work/out") == $2 ]] && return
    echo "# status $status: $(<"$work/out")"
    return 1
}
vda="<disk name='vda' checkpoint='bitmap' bitmap='ck1'/>"
check "a checkpoint: its one disk" checkpoint 0 "vda ($work/a): the bitmap is good" "$vda<disk name='vdb' checkpoint='no'/>"
check "by the name of the checkpoint" checkpoint 0 "vda *: the bitmap is good" "<disk name='vda' checkpoint='bitmap'/>"
check "by the file's name" checkpoint 0 "*the bitmap is good" "<disk name='$work/a' checkpoint='bitmap'/>"
check "one without a bitmap" checkpoint 5 "vda *good*vdb *missing or broken bitmap 'ck1' for disk 'vdb'*" "$vda<disk name='vdb' checkpoint='bitmap'/>"
check "a raw one" checkpoint 2 "*checkpoint for disk vdc unsupported for storage type raw*" "<disk name='vdc' checkpoint='bitmap'/>"
check "one elsewhere" checkpoint 4 "vdd: not-local*" "<disk name='vdd' checkpoint='bitmap'/>"
check "one that the domain has not any more" checkpoint 0 "vda *good*vde: left-out*" "$vda<disk name='vde' checkpoint='bitmap'/>"
check "if it has none of them" checkpoint 2 "*the domain has none of the checkpoint's disks*" "<disk name='vde' checkpoint='bitmap'/>"
check "a disk without a name" checkpoint 2 "*has no name*" "$vda<disk checkpoint='bitmap'/>"
check "a bitmap without one" checkpoint 2 "*has no name*" "<disk name='vda' checkpoint='bitmap' bitmap=''/>"
head -c 65536 /dev/zero | dd of="$work/b" conv=notrunc status=none
check "an image whose header is gone" checkpoint 5 "*'vdb': it is no qcow2 image*" "<disk name='vdb' checkpoint='bitmap'/>"
check "no disk" checkpoint 2 "*has no disk*" ""
disks "$vda" >"$work/checkpoint.xml"
check "without a domain" grep -q "name the domain's XML" <("$SAVESEAL" checkpoint-check "$work/checkpoint.xml" 2>&1)
check "a domain that is not there" grep -q "saveseal: $work/nothing: not-found" <("$SAVESEAL" checkpoint-check "$work/checkpoint.xml" "$work/nothing" 2>&1)
check "from a pipe" "$SAVESEAL" checkpoint-check <(disks "$vda" "$domain")
check "with it beside" "$SAVESEAL" checkpoint-check "$work/checkpoint.xml" "$work/domain.xml"
check "a domain for a checkpoint" grep -q "XML of <domain>, not of <domaincheckpoint>" <("$SAVESEAL" checkpoint-check "$work/domain.xml" 2>&1)
echo '<domaincheckpoint><name>' >"$work/checkpoint.xml"
check "XML that is cut" grep -q "no XML: line" <("$SAVESEAL" checkpoint-check "$work/checkpoint.xml" 2>&1)
: >"$work/checkpoint.xml"
check "no XML" grep -q "no XML" <("$SAVESEAL" checkpoint-check "$work/checkpoint.xml" 2>&1)
printf '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY s SYSTEM "file:///etc/passwd">]><domaincheckpoint><name>&b;&s;</name></domaincheckpoint>' >"$work/checkpoint.xml"
check "entities lead nowhere" grep -q "no <domain>" <("$SAVESEAL" checkpoint-check "$work/checkpoint.xml" 2>&1)

for wrong in "" "=vdb"; do
    check "no name: '$wrong'" says 2 "*a name is missing*" "$wrong"
done

# A machine that runs, and one that was killed.
new "$image" 64M
disk_use "a program writes to the image" "write 0 1M" "wrote"
check "and has it open: try again" says 3 "*busy*has the disk open*"
kill -KILL $machine
wait $machine 2>/dev/null
exec 9>&-
check "it was killed: the bitmap was not saved" says 5 "*$words: it was not saved*"
equal "as JSON" "$("$SAVESEAL" verify --json --bitmap ck1=vdb "$image" | sed -n '1s/.*"finding":"\([^"]*\)","class":"\([^"]*\)","exit":\([0-9]\).*/\1 \2 \3/p')" \
    "bitmap-missing checkpoint-inconsistent 5"

new -o cluster_size=512 "$image" 64K
qemu-img bitmap --add -g 4096 "$image" other
qemu-img bitmap --add -g 512 "$image" third
qemu-io -c "write 0 8k" "$image" >"$work/said"
check "each byte that a bitmap depends on, damaged: nothing is called good that qemu-img refuses, and refused only as docs/verify.md says" \
    timeout 300 "$python" "$(dirname "$0")/lib/bitmaps.py" "$SAVESEAL" "$image" $((100 / ${ROUNDS_PERCENT:-100} > 8 ? 8 : 100 / ${ROUNDS_PERCENT:-100}))
exit $failed
