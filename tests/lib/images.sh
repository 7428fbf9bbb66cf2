# shellcheck shell=bash
# Save images of libvirt with a real stream of QEMU in them, without libvirt. For tests that source lib/tools.sh, too.
#
#   images_start DIR    makes $STREAM, what QEMU saves of a small machine, and $WHOLE, an image of it with the magic that
#                       libvirt leaves until all of it is on the disk; false where there is no QEMU
#   libvirt_image PATH [MARK [CUT]]  a copy with the magic LibvirtQemudMARK (default: Part), CUT bytes short
#   libvirt_draft ID STATE [REASON [CUT]]  as draft of lib/tools.sh, of vm, with such content
#   images_pack PROGRAM NUMBER  makes $WHOLE.PROGRAM, an image whose stream is packed by PROGRAM, for libvirt NUMBER;
#                       WHOLE=$WHOLE.PROGRAM libvirt_image ... is one of it then. False where there is no such program

images_start() { # DIR
    STREAM=$1/stream WHOLE=$1/whole
    command -v qemu-system-x86_64 >/dev/null || return
    printf 'migrate "exec:cat>%s"\nquit\n' "$STREAM" |
        timeout 60 qemu-system-x86_64 -machine pc,accel=tcg -m 16 -nodefaults -display none -S -monitor stdio >/dev/null 2>&1
    [ -s "$STREAM" ] || return
    python3 - "$STREAM" "$WHOLE" <<'PY'
import struct, sys
xml = b"""<domain type='qemu'><name>vm1</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
<memory unit='KiB'>16384</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>\0"""
data = xml + bytes(65536)
head = struct.pack("=16s5I56x", b"LibvirtQemudPart", 2, len(data), 1, 0, 0)
with open(sys.argv[1], "rb") as stream, open(sys.argv[2], "wb") as image:
    image.write(head + data + stream.read())
PY
}

images_pack() { # PROGRAM NUMBER
    local packed=$WHOLE.$1 head
    head=$(($(stat -c %s "$WHOLE") - $(stat -c %s "$STREAM")))
    command -v "$1" >/dev/null && head -c "$head" "$WHOLE" >"$packed" && "$1" -c <"$STREAM" >>"$packed" || return
    printf '%b' "\\00$2" | dd of="$packed" bs=1 seek=28 conv=notrunc status=none
}

libvirt_image() { # PATH [MARK [CUT]]
    cp "$WHOLE" "$1"
    [ "${2:-Part}" = Part ] || printf %s "$2" | dd of="$1" bs=1 seek=12 conv=notrunc status=none
    [ "${3:-0}" = 0 ] || truncate -s "-$3" "$1"
}

mark_of() { head -c 16 "$1"; } # PATH: its magic

libvirt_draft() { # ID STATE [REASON [CUT]]
    local path=$DIR/.saveseal.$1
    rm -f "$path"
    libvirt_image "$path" Part "${4:-0}"
    setfattr -n user.saveseal.draft "$path" -v "saveseal/1 target=vm state=$2${3:+ reason=$3} \
writer=libvirt_iohelper pid=0 start=0 host=box opened=2023-11-14T22:13:20Z"
}
