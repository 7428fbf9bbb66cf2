#!/bin/bash
# Seals: what they hold, that they are checked when an image is opened, and what damage does.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

# flip FILE OFFSET: changes one byte there.
flip() {
    python3 - "$1" "$2" <<'PYTHON'
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]), os.SEEK_SET if int(sys.argv[2]) >= 0 else os.SEEK_END)
    byte = file.read(1)
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte[0] ^ 1]))
PYTHON
}

seal() { getfattr --only-values -n user.saveseal.seal "$1" 2>/dev/null; }
field() { seal "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }

open_errno() { # FILE [FLAGS]: the name of the error that open gives, or "none"
    python3 -c 'import errno, os, sys
try:
    os.close(os.open(sys.argv[1], eval(sys.argv[2], vars(os))))
    print("none")
except OSError as error:
    print(errno.errorcode[error.errno])' "$1" "${2:-O_RDONLY}"
}

verify_says() { # TEXT FILE EXIT ID
    local out status
    out=$("$SAVESEAL" verify --json "$2" 2>&1)
    status=$?
    equal "$1: verify exits $3" "$status" "$3"
    check "$1: with id $4" grep -q "\"$4\"" <<<"$out"
}

# Looks through the mount: there, and only there, a close() that returned is in force for whoever looks next.
good_seals() {
    local size
    for size in 1 4095 4096 4097 524288 3000001; do
        head -c $size /dev/urandom >"$work/data"
        cp "$work/data" "$mnt/s$size"
        equal "$size bytes: verity-sha256 is what fsverity digest prints" "$(field "$mnt/s$size" verity-sha256)" \
            "$(fsverity digest --compact "$work/data")"
        equal "$size bytes: header-sha256 is that of the first 4096" "$(field "$mnt/s$size" header-sha256)" \
            "$(head -c 4096 "$work/data" | sha256sum | cut -d' ' -f1)"
        equal "$size bytes: size" "$(field "$mnt/s$size" size)" $size
    done
    "$TEST_BIN_DIR/writer" "$mnt/vm.save" create save:5K at:92 write:100K close
    equal "a libvirt image: format" "$(field "$mnt/vm.save" format)" libvirt
    equal "a libvirt image: its header is 92 bytes and what they announce" "$(field "$mnt/vm.save" header)" $((92 + 5120))
    : >"$mnt/empty"
    equal "an empty file has no seal" "$(seal "$mnt/empty")" ""
    cp -a "$mnt/s4097" "$work/copy"
    equal "cp -a carries the seal along" "$(seal "$work/copy")" "$(seal "$mnt/s4097")"
}

damage() { # NAME ERRNO EXIT ID
    equal "$1: open gives $2" "$(open_errno "$mnt/$1")" "$2"
    verify_says "$1 on the mount" "$mnt/$1" "$3" "$4"
    verify_says "$1 in the backing directory" "$back/$1" "$3" "$4"
}

refused() { # NAME ID: and what follows from that
    damage "$1" EIO 1 "$2"
    check "$1: the log says why" grep -q "$1: $2: .*open refused" "$log"
    equal "$1: not to be edited either" "$(open_errno "$mnt/$1" O_RDWR)" EIO
    equal "$1: status" "$("$SAVESEAL" status --json "$mnt" | python3 -c 'import json, sys
print(*[e["state"] + " " + e["reason"] for e in json.load(sys.stdin)["entries"] if e["name"] == sys.argv[1]])' "$1")" \
        "damaged $2"
}

fresh() { # NAME: an image of 1 MB, opened once, so that its check is remembered
    head -c 1000000 /dev/urandom >"$mnt/$1"
    cat "$mnt/$1" >/dev/null
}

damaged_images() {
    local name
    for name in header content short long garbled newer; do fresh $name; done
    flip "$back/header" 100
    refused header header-mismatch
    flip "$back/content" 500000
    damage content none 1 content-mismatch
    truncate -s 999999 "$back/short"
    refused short truncated
    echo >>"$back/long"
    refused long grown
    setfattr -n user.saveseal.seal -v 'saveseal/1 format=unknown' "$back/garbled"
    refused garbled seal-invalid
    setfattr -n user.saveseal.seal -v 'saveseal/2 what=ever' "$back/newer"
    damage newer EIO 4 seal-too-new
    flip "$back/header" 100
    equal "header: mended, it can be opened" "$(open_errno "$mnt/header")" none
}

# Some programs delete what they can not open: a damaged image is set aside instead.
set_aside() {
    local draft
    fresh aside
    flip "$back/aside" 0
    cp "$back/aside" "$work/aside"
    rm "$mnt/aside"
    check "unlink of a damaged image: the name is gone" test ! -e "$mnt/aside"
    draft=$(grep -l . "$back"/.saveseal.* 2>/dev/null | head -n 1)
    check "it was set aside, not deleted" cmp -s "$draft" "$work/aside"
    check "and says why" grep -q 'state=interrupted reason=header-mismatch' <(getfattr --only-values -n user.saveseal.draft "$draft")
    rm "$draft"
    fresh good
    rm "$mnt/good"
    check "unlink of a good image deletes it" test -z "$(find "$back" -name '.saveseal.*' -o -name good)"
    fresh replaced
    flip "$back/replaced" 0
    cp "$work/data" "$mnt/replaced"
    check "a damaged image can be saved over" cmp -s "$work/data" "$mnt/replaced"
}

unsealed_images() {
    cp "$work/data" "$back/stranger"
    check "a file that came another way is shown as it is" cmp -s "$work/data" "$mnt/stranger"
    damage stranger none 4 unsealed
    echo more >>"$mnt/stranger"
    check "a save over it seals it" "$SAVESEAL" verify "$mnt/stranger"
}

header_digest() {
    stop_daemon
    start_daemon -o digest=header
    fresh light
    equal "digest=header: no whole digest" "$(field "$back/light" verity-sha256)" ""
    check "digest=header: verify says intact" "$SAVESEAL" verify "$mnt/light"
    flip "$back/light" 4000
    refused light header-mismatch
}

start_daemon
good_seals
damaged_images
set_aside
unsealed_images
header_digest
check "the daemon ends cleanly" stop_daemon
exit $failed
