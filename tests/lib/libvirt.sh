# shellcheck shell=bash
# A private libvirt to test with: its own daemons, domains and directories, nothing of the host's.
#
# Everything runs in namespaces of its own. The mount namespace gives it its own /etc/libvirt, /var/lib/libvirt, ... and
# takes every mount along when it ends; the pid namespace takes every process along (libvirtd and QEMU detach themselves, so
# that no list of pids would be complete); the network namespace keeps libvirtd off the host's firewall and bridges.
#
#   vm_namespace SECONDS SCRIPT ARG...  runs SCRIPT in the namespaces, returns its exit status
#   vm_run_inside SECONDS NAME MISSING  runs the case again in the namespaces
# and inside, in this order:
#   vm_host_start DIR                   libvirt's managed-save directory, VM_SAVE_DIR, is then there and empty
#   vm_libvirtd_start                   after something was mounted there, if so wanted
#   vm_define NAME; vm_load NAME; vm start NAME; vm_ram_is NAME FILE; ...
#   vm_pacer_start; vm_pace_saves MIB; vm save ... & vm_hold_save; vm_release_save or vm_kill_helper
#   vm_host_stop

VM_RAM_MIB=160
VM_LOAD_ADDR=0x1000000 # below it, and from a little under 16 MiB from the top on, RAM is the firmware's
VM_LOAD_MIB=96
export VM_SAVE_DIR=/var/lib/libvirt/qemu/save
VM_TIMEOUT=60 # seconds that anything may take

# --- namespaces and daemons --------------------------------------------------------------------------------------------

vm_namespace() { # SECONDS SCRIPT ARG...: ends it all after SECONDS, with status 137
    local limit=$((SECONDS + $1)) child
    shift
    # Who is killed here takes unshare along, and unshare the rest.
    setpriv --pdeathsig KILL unshare --mount --pid --net --ipc --fork --kill-child --mount-proc -- \
        "$(dirname "${BASH_SOURCE[0]}")/alone.sh" "$@" &
    child=$!
    trap 'limit=0' TERM INT HUP
    while kill -0 "$child" 2>/dev/null; do
        # The namespace's first process takes all others with it, and unshare returns only when they are gone.
        [ "$SECONDS" -lt "$limit" ] || kill -KILL "$(ps -o pid= --ppid "$child" | tr -d ' ')"
        sleep 0.2
    done
    trap - TERM INT HUP
    wait "$child"
}

# Runs the case again within the namespaces, and returns its exit status. There CASE_WORK is set: a directory, which is
# removed when the case ends. Ends it when something is MISSING.
vm_run_inside() { # SECONDS NAME MISSING
    if [ -n "$3" ]; then
        echo "skipped: $3"
        [ "${SAVESEAL_MUST_RUN:-}" = 1 ] && exit 1
        exit 77
    fi
    CASE_WORK=$(mktemp -d "${TMPDIR:-/tmp}/saveseal-$2.XXXXXX")
    export CASE_WORK
    trap 'rm -rf "$CASE_WORK"' EXIT
    vm_namespace "$1" "$(cd "$(dirname "$0")" && pwd)/${0##*/}"
}

# Says what is missing, or nothing when a guest can run here.
vm_missing() {
    local program
    for program in virsh libvirtd virtlogd qemu-system-x86_64 unshare setpriv python3; do
        command -v "$program" >/dev/null || { echo "no $program"; return; }
    done
    vm_iohelper >/dev/null || { echo "no libvirt_iohelper"; return; }
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    unshare --mount --pid --net --ipc --fork --mount-proc -- true 2>/dev/null || echo "no namespaces"
}

# Polls COMMAND until it succeeds. Fails after SECONDS.
vm_wait() { # SECONDS COMMAND ARG...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

vm_host_start() { # DIR: an empty directory on a file system with user xattrs and O_DIRECT
    VM_DIR=$1
    mkdir -p "$VM_DIR"/{etc,lib/qemu/save,log,cache}
    # The host's /run has the sockets of its D-Bus and systemd: a libvirtd that finds them registers its guests there.
    mount -t tmpfs -o mode=755 tmpfs /run || return
    mount --bind "$VM_DIR/etc" /etc/libvirt || return
    mount --bind "$VM_DIR/lib" /var/lib/libvirt || return
    mount --bind "$VM_DIR/log" /var/log/libvirt || return
    mount --bind "$VM_DIR/cache" /var/cache/libvirt || return
    # Only the images need a real file system; what they are compared with is as big and comes and goes.
    mkdir -p /run/libvirt "$VM_DIR/ram"
    mount -t tmpfs tmpfs "$VM_DIR/ram" || return
    vm_write_config
    vm_choose_accelerator
    virtlogd -d --pid-file /run/virtlogd.pid
}

vm_write_config() {
    cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
END
    cat >/etc/libvirt/libvirtd.conf <<END
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "4:file:/var/log/libvirt/libvirtd.log"
END
}

# Sets VM_TYPE unless the caller did. A /dev/kvm that is there need not work (nested, no permission), so it is tried.
vm_choose_accelerator() {
    [ -z "${VM_TYPE:-}" ] || return 0
    VM_TYPE=qemu
    if echo quit | timeout 20 qemu-system-x86_64 -machine pc,accel=kvm -m 64 -nodefaults -display none -S \
        -monitor stdio >/dev/null 2>&1; then
        VM_TYPE=kvm
    fi
}

vm() { # virsh's arguments
    timeout --foreground "$VM_TIMEOUT" virsh -q -c qemu:///system "$@"
}

# VM_LIBVIRTD: words that libvirtd is started by.
vm_libvirtd_start() {
    local by
    read -ra by <<<"${VM_LIBVIRTD:-}"
    # Children close every descriptor up to the limit: with a limit of millions each start of a guest takes seconds.
    (ulimit -n 1024 && "${by[@]}" libvirtd -d --pid-file /run/libvirtd.pid) || return
    vm_wait "$VM_TIMEOUT" vm version >/dev/null 2>&1
}

# Kills libvirtd as a crash would; its children and guests live on.
vm_libvirtd_kill() {
    local pid
    pid=$(</run/libvirtd.pid)
    kill -KILL "$pid" && vm_wait 10 vm_gone "$pid"
}

vm_gone() { # PID
    ! [ -e "/proc/$1" ]
}

vm_host_stop() {
    local name pid
    for name in $(vm list --name 2>/dev/null); do
        vm destroy "$name" >/dev/null
    done
    while read -r pid; do
        kill "$pid" 2>/dev/null && vm_wait 10 vm_gone "$pid"
    done < <(cat /run/libvirtd.pid /run/virtlogd.pid 2>/dev/null)
}

# --- guests ------------------------------------------------------------------------------------------------------------

# A guest without disks. Its firmware finds nothing to boot, so that RAM above it stays as it was loaded.
vm_define() { # NAME
    cat >"$VM_DIR/$1.xml" <<END
<domain type='$VM_TYPE' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>$1</name>
  <description>first</description>
  <memory unit='MiB'>$VM_RAM_MIB</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-device'/>
    <qemu:arg value='loader,file=$VM_DIR/ram/$1,addr=$VM_LOAD_ADDR,force-raw=on'/>
  </qemu:commandline>
</domain>
END
    vm define "$VM_DIR/$1.xml"
}

vm_make_content() { # FILE
    head -c "$((VM_LOAD_MIB << 20))" /dev/urandom >"$1"
}

# What the guest's RAM holds after its next fresh boot. With other content for every boot, RAM tells which boot a guest
# comes from: one that was restored has the content of then, not that of now.
vm_load() { # NAME FILE
    cp "$2" "$VM_DIR/ram/$1"
}

# Whether the guest's RAM holds FILE, byte for byte.
vm_ram_is() { # NAME FILE
    local dump=$VM_DIR/ram/$1.dump same
    rm -f "$dump"
    vm qemu-monitor-command "$1" --hmp "pmemsave $VM_LOAD_ADDR $((VM_LOAD_MIB << 20)) \"$dump\"" >/dev/null || return
    cmp -s "$dump" "$2"
    same=$?
    rm -f "$dump"
    return "$same"
}

vm_state_is() { # NAME STATE, as virsh domstate prints it
    [ "$(vm domstate "$1")" = "$2" ]
}

vm_has_managed_save() { # NAME
    vm dominfo "$1" | grep -q '^Managed save: *yes'
}

# virsh destroy kills QEMU before it waits its turn; a libvirtd that has just started notices that first, and the
# command then fails because the guest is off.
vm_off() { # NAME
    vm_state_is "$1" "shut off" || vm destroy "$1" >/dev/null || vm_state_is "$1" "shut off"
}

# --- the middle of a save ----------------------------------------------------------------------------------------------

# Puts tests/prog/pace.c where libvirtd looks for its libvirt_iohelper, the process that writes the image.
vm_pacer_start() {
    local helper
    helper=$(vm_iohelper)
    mkdir /run/iohelper && : >/run/iohelper/libvirt_iohelper && mount --bind "$helper" /run/iohelper/libvirt_iohelper &&
        mount --bind "$TEST_BIN_DIR/pace" "$helper"
}

vm_iohelper() {
    local path
    for path in /usr/lib/libvirt/libvirt_iohelper /usr/libexec/libvirt_iohelper; do
        [ -x "$path" ] && echo "$path" && return
    done
    return 1
}

# From now on saves go on slowly once they are MIB into their image.
vm_pace_saves() { # MIB
    rm -f /run/paced
    echo "$1" >/run/pace
}

# Waits until the save that has been started goes slowly. Sets VM_HELPER to the pid of its libvirt_iohelper.
vm_hold_save() {
    local end=$((SECONDS + VM_TIMEOUT))
    until [ -e /run/paced ]; do
        [ "$SECONDS" -lt "$end" ] || { echo "no save has begun" >&2; return 1; }
        sleep 0.01
    done
    VM_HELPER=$(</run/paced)
    grep -q '^Name:.libvirt_iohelpe$' "/proc/$VM_HELPER/status" # the kernel keeps 15 characters
}

vm_release_save() {
    rm -f /run/pace
}

# In the middle of its work.
vm_kill_helper() {
    kill -KILL "$VM_HELPER"
    vm_release_save
}

# --- images ------------------------------------------------------------------------------------------------------------

# Whether FILE is a whole save image by its form: libvirt's header says complete and agrees with the size, and the QEMU
# stream behind it goes on to its very last byte. Prints why not.
vm_image_is_whole() { # FILE
    python3 - "$1" <<'END'
import json, struct, sys

data = open(sys.argv[1], "rb").read()

def need(fact, why):
    if not fact:
        sys.exit(f"{sys.argv[1]}: {why}")

need(len(data) > 92, f"only {len(data)} bytes")
magic, version, data_len, was_running, form, cookie = struct.unpack_from("=16s5I", data)
need(magic == b"LibvirtQemudSave", f"magic is {magic}")
need(version == 2 and form == 0 and was_running in (0, 1), "header fields are out of range")
need(0 < data_len <= len(data) - 92 and cookie < data_len, "header lengths contradict the size")
need(data[92:].startswith(b"<domain"), "no domain XML")

stream = 92 + data_len
need(data[stream:stream + 8] == b"QEVM\0\0\0\3", "no QEMU stream behind the header")
# The end: footer of the last device (7e and 4 bytes), 00 for the end, 06 with length and JSON, and nothing more.
tail = data[max(stream, len(data) - (1 << 20)):]
at = tail.rfind(b"\0\6")
while at >= 5:
    length = int.from_bytes(tail[at + 2:at + 6], "big")
    if at + 6 + length == len(tail) and tail[at - 5] == 0x7e and tail[at + 6:at + 7] == b"{":
        json.loads(tail[at + 6:])
        sys.exit(0)
    at = tail.rfind(b"\0\6", 0, at + 1)
need(False, "the QEMU stream is cut off")
END
}
