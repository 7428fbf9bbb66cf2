#!/bin/bash
# virsh.sh ROUNDS: virsh save and virsh restore of a guest with 1 GiB of RAM that is not zero, in a directory on disk, in one
# under bindfs, and in save directories. Prints a line "NAME SECONDS-OF-SAVE SECONDS-OF-RESTORE" for each and each round.
# BUILD, IO: where the programs are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/libvirt.sh
. "$here/../lib/libvirt.sh"
# shellcheck disable=SC2034  # read by the library
VM_RAM_MIB=1152 VM_LOAD_MIB=1024
work=${BENCH_WORK:-}

mount_all() {
    local options
    mkdir -p "$work"/{native,bindfs,saveseal,libvirt}{,.back}
    if command -v bindfs >/dev/null; then
        bindfs -f "$work/bindfs.back" "$work/bindfs" &
    fi
    for name in saveseal libvirt; do
        options=format=any
        [ $name = saveseal ] || options=format=libvirt
        "$BUILD/fuse/savesealfs" -f -o $options "$work/$name.back" "$work/$name" 2>/dev/null &
        vm_wait 20 mountpoint -q "$work/$name" || return
    done
}

timed() { # COMMAND...: seconds into $took
    local begin=$EPOCHREALTIME
    "$@" >/dev/null || return
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')
}

# Guest and image are more than the host may leave us of the memory that is free (docs/performance.md). So none is left free:
# it is all full of a sparse file's pages, which are the kernel's to drop, as on a machine that has run for a while.
fill_memory() {
    [ -e "$work/holes" ] || truncate -s "$(awk '$1 == "MemTotal:" {print $2}' /proc/meminfo)K" "$work/holes"
    cat "$work/holes" >/dev/null
}

inside() { # ROUNDS
    local round name saved order
    { vm_host_start "$work/host" && vm_make_content "$work/host/ram/vm1" && vm_libvirtd_start && vm_define vm1 &&
        mount_all && vm start vm1; } >&2 || return
    sleep 5 # the firmware comes to rest
    for ((round = 0; round <= $1; round++)); do
        order=(native bindfs saveseal libvirt)
        [ $((round % 2)) = 0 ] || order=(libvirt saveseal bindfs native)
        for name in "${order[@]}"; do
            [ "$name" != bindfs ] || mountpoint -q "$work/bindfs" || continue
            sync
            fill_memory
            timed vm save vm1 "$work/$name/image.sav" || return
            saved=$took
            fill_memory
            timed vm restore "$work/$name/image.sav" || return
            [ "$round" = 0 ] || echo "$name $saved $took" # the first is not counted
            rm "$work/$name/image.sav"
        done
    done
    vm_host_stop
    umount "$work/bindfs" "$work/saveseal" "$work/libvirt"
}

if [ -n "$work" ]; then
    inside "$1"
    exit
fi
missing=$(vm_missing)
[ -z "$missing" ] || { echo "virsh.sh: $missing" >&2; exit 77; }
BENCH_WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/saveseal-bench.XXXXXX")
export BENCH_WORK
trap 'rm -rf "$BENCH_WORK"' EXIT
vm_namespace 900 "$here/virsh.sh" "$1"
