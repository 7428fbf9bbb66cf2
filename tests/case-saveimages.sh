#!/bin/bash
# Save images of a real libvirt, and streams of a real QEMU, whole and damaged in every way: what saveseal finds in them,
# and whether libvirt and QEMU say the same.
#
#   SAVESEAL        the tool
#   SAVESEALFS      the daemon, for what libvirtd leaves when it is killed in a save
# Exits 0 passed, 1 failed, 77 skipped (never with SAVESEAL_MUST_RUN=1).
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/libvirt.sh
. "$here/lib/libvirt.sh"

: "${SAVESEAL:?path of saveseal}" "${SAVESEALFS:?path of savesealfs}"
VM_RAM_MIB=32
failed=0
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)

check() { # TEXT COMMAND...
    local text=$1
    shift
    if "$@"; then echo "ok - $text"; else
        echo "not ok - $text"
        failed=1
    fi
}

# libvirt 9 takes the format of images from its configuration, which it reads when it starts.
save_as() { # FORMAT
    sed -i '/^save_image_format/d' /etc/libvirt/qemu.conf
    echo "save_image_format = \"$1\"" >>/etc/libvirt/qemu.conf
    vm_libvirtd_start && { [ -e "$VM_DIR/vm1.xml" ] || vm_define vm1; } && vm start vm1 && vm save vm1 "$images/$1.save"
}

libvirtd_stop() {
    local pid
    pid=$(</run/libvirtd.pid)
    kill "$pid" && vm_wait 20 vm_gone "$pid"
}

# ---- libvirtd is killed in a save ----

# Lets libvirtd begin to save to IMAGE, and ends it and the guest as if the host had stopped: it behind the last byte and
# before it can say that the save is complete; or both it and its helper before the third block.
save_killed() { # IMAGE behind|middle
    local tracer libvirtd inject=openat:signal=KILL:when=2 trace=$VM_DIR/trace
    libvirtd=$(</run/libvirtd.pid)
    [ "$2" = behind ] || inject=write:signal=STOP:when=3
    rm -f "$trace"
    strace -f -qq -o "$trace" -P "$1" -e trace=openat,write -e "inject=$inject" -p "$libvirtd" &
    tracer=$!
    vm_wait 20 grep -q '^TracerPid:.*[1-9]' "/proc/$libvirtd/status" || return
    vm save vm1 "$1" >"$VM_DIR/said" 2>&1 &
    if [ "$2" = middle ]; then
        vm_wait 20 grep -qs 'stopped by SIGSTOP' "$trace" || return
        kill -KILL "$libvirtd" "$(sed -n 's/^\([0-9]*\).*stopped by SIGSTOP.*/\1/p' "$trace")"
    fi
    wait "$!" && return 1 # it said that it had saved
    wait "$tracer"
    vm_wait 20 vm_gone "$libvirtd" && kill -KILL "$(</run/libvirt/qemu/vm1.pid)"
}

says() { # STATUS TEXT COMMAND...: its exit status, and what it says
    local status
    "$SAVESEAL" "${@:3}" >"$VM_DIR/said" 2>&1
    status=$?
    [ "$status" -eq "$1" ] && grep -qF -- "$2" "$VM_DIR/said" && return
    echo "# status $status"
    sed 's/^/# /' "$VM_DIR/said"
    return 1
}

starts() { vm_libvirtd_start && vm start vm1; }
runs_again() { vm_libvirtd_start && vm restore "$1" && vm_state_is vm1 running; }
is_partial() { [ "$(head -c 16 "$1")" = LibvirtQemudPart ]; }

# What finish makes of such a save is what libvirt takes.
finishing() {
    local image=$VM_DIR/killed.save
    head -c 4M /dev/urandom >"$VM_DIR/ram/vm1" # several blocks
    check "a machine runs" vm start vm1
    check "killed in the middle of a save" save_killed "$image" middle
    check "the image has three blocks of five" test "$(stat -c %s "$image")" -eq 3145728
    check "verify of it" says 1 "format-incomplete: " verify --deep "$image"
    check "finish of it: its end is missing" says 1 "stream-damaged: " finish --force "$image"
    check "finish of it: it is as it was" is_partial "$image"
    check "the machine is started anew" starts
    check "killed behind the last byte of a save" save_killed "$image" behind
    check "it is not marked complete" is_partial "$image"
    check "verify of it" says 1 "format-incomplete: " verify --deep "$image"
    check "finish of it" says 0 "finished, sealed (libvirt save image of vm1, " finish --force "$image"
    check "verify of what is finished" says 0 "whole" verify --deep "$image"
    check "libvirt restores it" runs_again "$image"
}

# The same, and the draft of it, on a mount.
finishing_draft() {
    local image=$VM_DIR/mnt/killed.save fs draft
    mkdir "$VM_DIR/back" "$VM_DIR/mnt"
    "$SAVESEALFS" -f "$VM_DIR/back" "$VM_DIR/mnt" >"$VM_DIR/fs.log" 2>&1 &
    fs=$!
    vm_wait 20 mountpoint -q "$VM_DIR/mnt"
    check "killed behind the last byte of a save to a mount" save_killed "$image" behind
    draft=$(find "$VM_DIR/back" -name '.saveseal.*')
    draft=$VM_DIR/mnt/${draft##*/}
    check "verify names the draft" says 2 "its save was interrupted: the draft is $draft" verify "$image"
    # The mount looks now and then whether who saved it is gone.
    check "finish of the draft" vm_wait 20 says 0 "finished, sealed (libvirt save image of vm1, " finish --force "$draft"
    check "verify of what is finished" says 0 "whole" verify --deep "$image"
    check "libvirt restores it from the mount" runs_again "$image"
    umount "$VM_DIR/mnt"
    wait "$fs"
    check "the mount had no trouble" test -z "$(grep -E 'Sanitizer|runtime error' "$VM_DIR/fs.log")"
}

inside() {
    vm_host_start "$CASE_WORK/host" || exit 1
    images=$VM_DIR/ram/images # in memory
    mkdir "$images" "$images/work"
    head -c 256K /dev/urandom >"$VM_DIR/ram/vm1"
    for format in gzip bzip2 xz lzop; do
        check "libvirt saves a machine as $format" save_as $format
        libvirtd_stop
    done
    check "and raw" save_as raw
    check "what saveseal finds in them, whole and damaged, agrees with virsh" timeout 300 "$python" \
        "$here/lib/saveimages.py" "$SAVESEAL" "$images" "$images/work" virsh -q -c qemu:///system
    finishing
    finishing_draft
    vm_host_stop
    check "streams of QEMU: what QEMU does not load is not called good" timeout 300 "$python" \
        "$here/lib/qemustreams.py" "$SAVESEAL" "$images/work"
    [ "$failed" = 0 ]
}

if [ -n "${CASE_WORK:-}" ]; then
    inside
else
    missing=$(vm_missing)
    for program in strace lzop zstd; do
        command -v "$program" >/dev/null || missing="no $program"
    done
    vm_run_inside 550 saveimages "$missing"
fi
