#!/bin/bash
# Save images of a real libvirt, and streams of a real QEMU, whole and damaged in every way: what saveseal finds in them,
# and whether libvirt and QEMU say the same.
#
#   SAVESEAL        the tool
# Exits 0 passed, 1 failed, 77 skipped (never with SAVESEAL_MUST_RUN=1).
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/libvirt.sh
. "$here/lib/libvirt.sh"

: "${SAVESEAL:?path of saveseal}"
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

inside() {
    vm_host_start "$CASE_WORK/host" || exit 1
    images=$VM_DIR/ram/images # in memory
    mkdir "$images" "$images/work"
    head -c 256K /dev/urandom >"$VM_DIR/ram/vm1"
    for format in gzip bzip2 xz; do
        check "libvirt saves a machine as $format" save_as $format
        libvirtd_stop
    done
    check "and raw" save_as raw
    check "what saveseal finds in them, whole and damaged, agrees with virsh" timeout 300 "$python" \
        "$here/lib/saveimages.py" "$SAVESEAL" "$images" "$images/work" virsh -q -c qemu:///system
    vm_host_stop
    check "streams of QEMU: what QEMU does not load is not called good" timeout 300 "$python" \
        "$here/lib/qemustreams.py" "$SAVESEAL" "$images/work"
    [ "$failed" = 0 ]
}

outside() {
    local missing
    missing=$(vm_missing)
    if [ -n "$missing" ]; then
        echo "skipped: $missing"
        [ "${SAVESEAL_MUST_RUN:-}" = 1 ] && exit 1
        exit 77
    fi
    CASE_WORK=$(mktemp -d "${TMPDIR:-/tmp}/saveseal-saveimages.XXXXXX")
    export CASE_WORK
    trap 'rm -rf "$CASE_WORK"' EXIT
    vm_namespace 550 "$here/${0##*/}"
    exit $?
}

if [ -n "${CASE_WORK:-}" ]; then
    inside
else
    outside
fi
