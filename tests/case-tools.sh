#!/bin/bash
# Every command of saveseal against fixtures on a plain directory: exit codes, ids, JSON, refusals, races.
#
# SAVESEAL      path of the tool
# TEST_BIN_DIR  directory of mkseal and lockdraft
# SAVESEALFS    path of the daemon; when it is set and FUSE works, the tool is tried on a mount too
set -u

OTHER_DIR=''
# shellcheck disable=SC2317 # called at the end
case_cleanup() {
    if mountpoint -q "$WORK/mnt" 2>/dev/null; then umount "$WORK/mnt"; fi
    if mountpoint -q "$WORK/small" 2>/dev/null; then umount "$WORK/small"; fi
    rm -rf "${OTHER_DIR:-$WORK/none}"
}

# shellcheck source=tests/lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"

# ---- cases ----

test_command_line() {
    local command
    expect 'help' 0 out 'Commands:' --help
    cp "$OUT" "$OUT.help"
    check 'help is quiet on stderr' test ! -s "$ERR"
    check 'help fits 80 columns' awk 'length > 80 { exit 1 }' "$OUT"
    for command in status verify show discard salvage run errors classify checkpoint-check manifest; do
        check "help names $command" grep -q "^  $command " "$OUT.help"
    done
    for command in run errors classify checkpoint-check manifest; do
        "$SAVESEAL" "$command" --help >"$OUT"
        check "$command: help fits 80 columns" awk 'length > 80 { exit 1 }' "$OUT"
    done
    for command in status verify show discard salvage; do
        expect "$command: help" 0 out "Usage: saveseal $command" "$command" --help
        check "$command: help fits 80 columns" awk 'length > 80 { exit 1 }' "$OUT"
        check "$command: help is quiet on stderr" test ! -s "$ERR"
        expect "$command: wrong option" 2 err "unknown option --frobnicate" "$command" --frobnicate
        check "$command: usage goes to stderr only" test ! -s "$OUT"
        expect "$command: wrong short option" 2 err "unknown option -q" "$command" -q x
    done
    expect 'version' 0 out 'saveseal ' --version
    expect 'no command' 2 err 'a command is missing'
    expect 'unknown command' 2 err 'there is no command frob' frob
    check 'unknown command lists the commands' grep -q '^  salvage$' "$ERR"
    check 'unknown command leaves stdout empty' test ! -s "$OUT"
    expect 'verify without a name' 2 err 'a name is missing' verify
    expect 'show with two names' 2 err 'too many names' show a b
    expect 'salvage with one name' 2 err 'a name is missing' salvage a
    "$SAVESEAL" --help >/dev/full 2>"$ERR"
    RC=$?
    check 'a full standard output is an error' test "$RC" -eq 3
}

test_verify() {
    local name
    fresh
    for name in good header body cut longer; do sealed "$DIR/$name"; done
    sealed "$DIR/empty" 0
    flip "$DIR/header" 10
    flip "$DIR/body" 40000
    truncate -s 50000 "$DIR/cut"
    printf x >>"$DIR/longer"
    image "$DIR/bare"
    image "$DIR/thin"
    "$MKSEAL" --header "$DIR/thin"
    expect 'verify: whole' 0 out 'good: whole (seal of 20' verify "$DIR/good"
    check 'verify: summary' grep -qx '1 image whole' "$OUT"
    check 'verify: no progress bar off a terminal' test ! -s "$ERR"
    expect 'verify: empty image' 0 out 'empty: whole' verify "$DIR/empty"
    expect 'verify: header-mismatch' 1 out 'damaged: header-mismatch: ' verify "$DIR/header"
    expect 'verify: content-mismatch' 1 out 'damaged: content-mismatch: ' verify "$DIR/body"
    expect 'verify: content is not read by --quick' 0 out 'header intact' verify --quick "$DIR/body"
    expect 'verify: truncated' 1 out 'truncated: ' verify "$DIR/cut"
    expect 'verify: truncated tells the sizes' 1 out '(50000 bytes, sealed with 65536)' verify "$DIR/cut"
    expect 'verify: truncated is seen by --quick' 1 out 'truncated: ' verify --quick "$DIR/cut"
    expect 'verify: grown' 1 out 'grown: ' verify "$DIR/longer"
    expect 'verify: unsealed' 4 out 'unknown: unsealed: ' verify "$DIR/bare"
    expect 'verify: seal of the header only' 0 out 'its seal has no digest of the content' verify "$DIR/thin"
    expect 'verify: several, the worst counts' 1 out '1 image whole, 3 damaged, 1 unknown' \
        verify "$DIR/good" "$DIR/header" "$DIR/body" "$DIR/cut" "$DIR/bare"
    expect 'verify: JSON' 1 none '' verify --json "$DIR/good" "$DIR/header" "$DIR/bare" "$DIR/none" "$DIR/thin"
    json 'verify: JSON findings' '[o.get("finding") for o in d[:-1]] ==
        ["intact", "header-mismatch", "unsealed", "not-found", "intact"]'
    json 'verify: JSON classes' '[o["exit"] for o in d] == [0, 1, 4, 2, 0, 1] and d[1]["class"] == "damaged"'
    json 'verify: JSON summary' 'd[-1]["summary"] == {"whole": 1, "header_intact": 1, "complete": 0, "damaged": 1,
        "inconsistent": 0, "unknown": 1, "being_written": 0, "interrupted": 0, "temporary": 0, "not_reached": 0, "invalid": 1}'
    json 'verify: JSON facts' 'd[0]["size"] == 65536 and d[0]["checked"] == "content" and d[4]["checked"] == "header"
        and d[0]["writer"] == "mkseal" and d[0]["sealed"].endswith("Z") and d[1]["advice"]'
}

test_verify_seals() {
    fresh
    sealed "$DIR/bad"
    setfattr -n user.saveseal.seal -v 'saveseal/1 format=unknown' "$DIR/bad"
    expect 'verify: seal-invalid' 1 out 'damaged: seal-invalid: ' verify "$DIR/bad"
    setfattr -n user.saveseal.seal -v 'what is this' "$DIR/bad"
    expect 'verify: seal-invalid for any bytes' 1 out 'seal-invalid' verify "$DIR/bad"
    setfattr -n user.saveseal.seal -v '' "$DIR/bad"
    expect 'verify: seal-invalid for no bytes' 1 out 'seal-invalid' verify "$DIR/bad"
    head -c 4001 /dev/zero | tr '\0' a >"$WORK/long"
    if setfattr -n user.saveseal.seal -v "$(cat "$WORK/long")" "$DIR/bad" 2>/dev/null; then
        expect 'verify: seal-invalid for an endless seal' 1 out 'seal-invalid' verify "$DIR/bad"
        expect 'show: an endless seal' 1 err 'seal-invalid' show "$DIR/bad"
    else
        skip 'verify: seal-invalid for an endless seal' 'the file system has no such long attributes'
    fi
    setfattr -n user.saveseal.seal -v 'saveseal/2 tree=x' "$DIR/bad"
    expect 'verify: seal-too-new' 4 out 'unknown: seal-too-new: ' verify "$DIR/bad"
    expect 'show: seal-too-new' 4 err 'seal-too-new' show "$DIR/bad"
    expect 'show: seal-too-new in JSON with its line' 4 none '' show --json "$DIR/bad"
    json 'show: the line of a newer version' 'd[0]["record"] == "saveseal/2 tree=x" and
        d[0]["finding"] == "seal-too-new"'
}

test_verify_requests() {
    fresh
    mkdir "$DIR/sub"
    mkfifo "$DIR/pipe"
    sealed "$DIR/good"
    ln -s good "$DIR/link"
    ln -s nowhere "$DIR/dangling"
    ln -s loop "$DIR/loop"
    expect 'verify: follows a symbolic link' 0 out 'link: whole' verify "$DIR/link"
    expect 'verify: not-found' 2 err 'none: not-found: ' verify "$DIR/none"
    expect 'verify: below a file' 2 err 'not-found' verify "$DIR/good/x"
    expect 'verify: dangling link' 2 err 'not-found' verify "$DIR/dangling"
    expect 'verify: link to itself' 2 err 'not-a-file' verify "$DIR/loop"
    expect 'verify: an empty name' 2 err 'not-found' verify ''
    expect 'verify: directory' 2 err 'not-a-file: ' verify "$DIR/sub"
    expect 'verify: directory with a slash' 2 err 'not-a-file: ' verify "$DIR/sub/"
    expect 'verify: fifo does not hang' 2 err 'it is a fifo' verify "$DIR/pipe"
    expect 'verify: device' 2 err 'it is a device' verify /dev/null
    expect 'verify: endless name' 2 err 'not-found' verify "$DIR/$(head -c 300 /dev/zero | tr '\0' n)"
    expect 'show: directory' 2 err 'not-a-file' show "$DIR/sub"
    expect 'show: not-found' 2 err 'not-found' show "$DIR/none"
    draft 00000000000000aa fresh writing
    lock "$DIR/.saveseal.00000000000000aa"
    expect 'verify: name that is being saved for the first time' 3 out 'draft-in-progress' verify "$DIR/fresh"
    expect 'verify: live draft' 3 out 'draft-in-progress' verify "$DIR/.saveseal.00000000000000aa"
    expect 'verify: another name' 2 err 'not-found' verify "$DIR/other"
    unlock
    expect 'verify: name whose save was interrupted' 2 err ".saveseal.00000000000000aa" verify "$DIR/fresh"
    draft 00000000000000ab vm interrupted writer-killed 'detail=killed%20by%20signal%209'
    expect 'verify: interrupted draft' 1 out 'writer-killed: ' verify "$DIR/.saveseal.00000000000000ab"
    check 'verify: interrupted draft with its detail' grep -q 'killed by signal 9' "$OUT"
    expect 'verify: draft without a record' 2 none '' verify "$DIR/.saveseal.00000000000000ac"
    draft 00000000000000ad vm interrupted intact
    expect 'verify: a record can not call a draft whole' 1 out 'seal-invalid' verify "$DIR/.saveseal.00000000000000ad"
}

test_permission() {
    fresh
    if [ "$(id -u)" -eq 0 ] && ! command -v setpriv >/dev/null; then
        skip 'permission' 'no setpriv'
        return
    fi
    sealed "$DIR/secret"
    draft 00000000000000aa vm interrupted writer-killed
    chmod 000 "$DIR/secret" "$DIR/.saveseal.00000000000000aa"
    run_unprivileged verify "$DIR/secret"
    check 'verify: no-permission' test "$RC" -eq 2
    check 'verify: no-permission names file and advice' grep -q 'secret: no-permission: .*; run it as' "$ERR"
    run_unprivileged status --json "$DIR"
    check 'status: unreadable files make it exit 2' test "$RC" -eq 2
    json 'status: no-permission' 'by_name["secret"]["reason"] == "no-permission" and by_name["secret"]["size"] == 65536
        and drafts["00000000000000aa"]["state"] == "damaged"'
    if [ "$(id -u)" -eq 0 ]; then
        run_unprivileged discard --force "$DIR/.saveseal.00000000000000aa"
        check 'discard: no-permission' test "$RC" -eq 2
        check 'discard: no-permission says so' grep -q 'no-permission' "$ERR"
        check 'discard: no-permission deletes nothing' test -e "$DIR/.saveseal.00000000000000aa"
    fi
    chmod 000 "$DIR"
    run_unprivileged status "$DIR"
    check 'status: no-permission' test "$RC" -eq 2
    chmod 755 "$DIR"
}

test_status() {
    fresh
    expect 'status: empty directory' 0 out '0 images sealed' status "$DIR"
    sealed "$DIR/b.save"
    sealed "$DIR/a.save"
    sealed "$DIR/damaged"
    flip "$DIR/damaged" 5
    image "$DIR/bare"
    mkdir "$DIR/sub"
    mkfifo "$DIR/pipe"
    ln -s a.save "$DIR/link"
    draft 00000000000000aa vm1 writing
    draft 00000000000000ab vm2 interrupted writer-killed 'detail=killed%20by%20signal%209'
    draft 00000000000000ac vm3 waiting
    draft 00000000000000ad vm4 writing
    image "$DIR/.saveseal.00000000000000ae"
    : >"$DIR/.saveseal.short"
    lock "$DIR/.saveseal.00000000000000aa"
    expect 'status: text' 0 out '2 images sealed, 1 unsealed, 1 being written, 3 interrupted, 2 damaged' status "$DIR"
    check 'status: is sorted' sh -c "grep -n '^a.save\|^b.save' '$OUT' | head -1 | grep -q a.save"
    check 'status: path of a draft to copy' grep -qx "  $DIR/.saveseal.00000000000000ab" "$OUT"
    check 'status: reason' grep -q 'writer-killed: killed by signal 9' "$OUT"
    expect 'status: JSON' 0 none '' status --json "$DIR/"
    json 'status: states' '{n: e["state"] for n, e in by_name.items()} ==
        {"a.save": "sealed", "b.save": "sealed", "bare": "unsealed", "damaged": "damaged"}'
    json 'status: drafts' '{i[-2:]: (e["state"], e["reason"]) for i, e in drafts.items()} ==
        {"aa": ("writing", "draft-in-progress"), "ab": ("interrupted", "writer-killed"),
         "ac": ("interrupted", "format-incomplete"), "ad": ("interrupted", "daemon-died"),
         "ae": ("damaged", "not-a-draft")}'
    json 'status: facts of a draft' 'drafts["00000000000000ab"]["name"] == "vm2" and
        drafts["00000000000000ab"]["path"].endswith("dir/.saveseal.00000000000000ab") and
        "//" not in drafts["00000000000000ab"]["path"] and drafts["00000000000000ab"]["writer"] == "qemu-img" and
        drafts["00000000000000ab"]["since"] == "2023-11-14T22:13:20Z" and drafts["00000000000000ab"]["age"] > 0'
    json 'status: sizes' 'by_name["a.save"]["size"] == 65536 and by_name["a.save"]["allocated"] >= 0'
    json 'status: summary' 'd[0]["summary"] == {"sealed": 2, "unsealed": 1, "writing": 1, "waiting": 0,
        "interrupted": 3, "damaged": 2} and d[0]["drafts_visible"]'
    unlock
    mkdir "$WORK/second"
    expect 'status: several directories' 0 none '' status --json "$DIR" "$WORK/second"
    json 'status: one object a line' 'len(d) == 2 and d[1]["entries"] == []'
    expect 'status: several directories as text' 0 out "$WORK/second:" status "$DIR" "$WORK/second"
    (cd "$DIR" && "$SAVESEAL" status --json >"$OUT" 2>"$ERR")
    json 'status: the current directory' 'd[0]["directory"] == "." and
        drafts["00000000000000ab"]["path"] == "./.saveseal.00000000000000ab"'
    expect 'status: not-found' 2 err 'none: not-found' status "$DIR/none"
    expect 'status: a file' 2 err 'it is not a directory' status "$DIR/bare"
    expect 'status: one good, one not there' 2 out 'images sealed' status "$DIR" "$DIR/none"
}

test_waiting() {
    local pid
    fresh
    sleep 60 &
    pid=$!
    draft 00000000000000aa vm waiting '' ''
    setfattr -n user.saveseal.draft "$DIR/.saveseal.00000000000000aa" -v "saveseal/1 target=vm state=waiting pid=$pid \
start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20) boot=$(cat /proc/sys/kernel/random/boot_id) \
host=$(hostname) opened=2023-11-14T22:13:20Z"
    lock "$DIR/.saveseal.00000000000000aa"
    expect 'waiting: writer lives' 3 out 'draft-waiting' verify "$DIR/vm"
    run status --json "$DIR"
    json 'waiting: status' 'drafts["00000000000000aa"]["state"] == "waiting" and drafts["00000000000000aa"]["pid"] > 1'
    kill "$pid"
    wait "$pid" 2>/dev/null
    run status --json "$DIR"
    json 'waiting: writer is gone' 'drafts["00000000000000aa"]["state"] == "interrupted" and
        drafts["00000000000000aa"]["reason"] == "format-incomplete"'
    unlock
}

test_show() {
    fresh
    sealed "$DIR/good"
    image "$DIR/bare"
    expect 'show: image' 0 out 'header-sha256:' show "$DIR/good"
    check 'show: the raw record' grep -q 'record: *saveseal/1 format=' "$OUT"
    expect 'show: image as JSON' 0 none '' show --json "$DIR/good"
    json 'show: seal' 'd[0]["seal"]["size"] == 65536 and len(d[0]["seal"]["verity_sha256"]) == 64 and
        d[0]["seal"]["header"] == 4096 and d[0]["record"].startswith("saveseal/1 ")'
    expect 'show: unsealed' 4 err 'bare: unsealed: ' show "$DIR/bare"
    draft 00000000000000ab vm2 interrupted writer-killed 'detail=killed%20by%20signal%209 colour=blue'
    expect 'show: draft' 0 out 'detail:        killed by signal 9' show "$DIR/.saveseal.00000000000000ab"
    check 'show: a key of a newer version' grep -q 'colour=blue' "$OUT"
    expect 'show: draft as JSON' 0 none '' show --json "$DIR/.saveseal.00000000000000ab"
    json 'show: record' 'd[0]["draft"]["target"] == "vm2" and d[0]["state"] == "interrupted" and
        d[0]["draft"]["reason"] == "writer-killed" and d[0]["draft"]["host"] == "box" and
        d[0]["draft"]["opened"] == "2023-11-14T22:13:20Z"'
    setfattr -n user.saveseal.draft -v 'saveseal/1 target=../x state=writing' "$DIR/.saveseal.00000000000000ab"
    expect 'show: malformed record' 1 out 'seal-invalid' show "$DIR/.saveseal.00000000000000ab"
    expect 'show: no such draft' 2 err 'not-found' show "$DIR/.saveseal.00000000000000ff"
}

test_discard() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    draft 00000000000000aa vm interrupted writer-killed
    expect 'discard: without a terminal needs --force' 2 err '--force is needed' discard "$path"
    check 'discard: kept' test -e "$path"
    lock "$path"
    expect 'discard: draft-in-progress' 3 err 'draft-in-progress' discard --force "$path"
    check 'discard: a live draft stays' test -e "$path"
    unlock
    run_on_terminal n discard "$path"
    check 'discard: a no' test "$RC" -eq 2 -a -e "$path"
    check 'discard: the question names draft and reason' grep -q 'draft of vm, 64.0 KiB, writer-killed' "$OUT"
    run_on_terminal '' discard "$path"
    check 'discard: an empty answer is a no' test "$RC" -eq 2 -a -e "$path"
    run_on_terminal y discard "$path"
    check 'discard: a yes' test "$RC" -eq 0 -a ! -e "$path"
    draft 00000000000000aa vm interrupted writer-killed
    expect 'discard: --force' 0 out 'deleted' discard --force "$path"
    check 'discard: is gone' test ! -e "$path"
    expect 'discard: not-found' 2 err 'not-found' discard --force "$path"
    draft 00000000000000aa vm interrupted writer-killed
    draft 00000000000000ab vm interrupted writer-exited
    expect 'discard: several, one of them missing' 2 out 'aa: deleted' discard --force \
        "$path" "$DIR/.saveseal.00000000000000ff" "$DIR/.saveseal.00000000000000ab"
    check 'discard: the others are done' test ! -e "$DIR/.saveseal.00000000000000ab"
}

test_discard_refusals() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    sealed "$DIR/vm"
    expect 'discard: an image is not-a-draft' 2 err 'not-a-draft' discard --force "$DIR/vm"
    draft 00000000000000aa vm interrupted writer-killed
    expect 'discard: a public name is told its draft' 2 err "its interrupted draft is $path" discard --force "$DIR/vm"
    draft 00000000000000ab vm interrupted writer-exited
    expect 'discard: a public name with two drafts' 2 err 'it has 2 interrupted drafts' discard --force "$DIR/vm"
    check 'discard: the image stays' test -e "$DIR/vm"
    rm "$DIR"/.saveseal.*
    mkdir "$path"
    expect 'discard: directory' 2 err 'not-a-draft' discard --force "$path"
    rmdir "$path"
    ln -s vm "$path"
    expect 'discard: symbolic link' 2 err 'not-a-draft' discard --force "$path"
    check 'discard: symbolic link and its target stay' test -L "$path" -a -e "$DIR/vm"
    rm "$path"
    mkfifo "$path"
    expect 'discard: fifo' 2 err 'not-a-draft' discard --force "$path"
    rm "$path"
    image "$path"
    run_on_terminal y discard "$path"
    check 'discard: no record' test "$RC" -eq 2 -a -e "$path"
    check 'discard: no record, says how' grep -q 'not-a-draft.*--force' "$OUT"
    expect 'discard: no record, --force' 0 none '' discard --force "$path"
    check 'discard: no record, --force deletes' test ! -e "$path"
    image "$DIR/.saveseal.00000000000000AA"
    image "$DIR/.saveseal.x"
    expect 'discard: upper case is no id' 2 err 'not-a-draft' discard --force "$DIR/.saveseal.00000000000000AA"
    expect 'discard: short id' 2 err 'not-a-draft' discard --force "$DIR/.saveseal.x"
    draft 00000000000000aa vm interrupted writer-killed
    chmod 444 "$path"
    expect 'discard: read-only draft of the owner' 0 none '' discard --force "$path"
}

test_salvage() {
    local path=$DIR/.saveseal.00000000000000aa sum
    fresh
    draft 00000000000000aa vm interrupted writer-killed 'detail=killed%20by%20signal%209'
    chmod 640 "$path"
    sum=$(hash_of "$path")
    lock "$path"
    expect 'salvage: draft-in-progress' 3 err 'draft-in-progress' salvage "$path" "$DIR/new"
    unlock
    : >"$DIR/there"
    expect 'salvage: dest-exists' 2 err 'there: dest-exists' salvage "$path" "$DIR/there"
    ln -s nowhere "$DIR/dangling"
    expect 'salvage: a dangling link is in the way too' 2 err 'dest-exists' salvage "$path" "$DIR/dangling"
    expect 'salvage: DEST in a missing directory' 2 err 'not-found' salvage "$path" "$DIR/no/new"
    expect 'salvage: DEST is a directory' 2 err 'name the new file' salvage "$path" "$DIR/"
    expect 'salvage: DEST is reserved' 2 err 'kept for drafts' salvage "$path" "$DIR/.saveseal.x"
    expect 'salvage: an image is not-a-draft' 2 err 'not-a-draft' salvage "$DIR/there" "$DIR/new"
    expect 'salvage: a public name is told its draft' 2 err "its interrupted draft is $path" \
        salvage "$DIR/vm" "$DIR/new"
    check 'salvage: refused, the draft is as it was' test "$(hash_of "$path")" = "$sum" -a ! -e "$DIR/new"
    check 'salvage: refused, the record stays' sh -c "getfattr -d '$path' 2>/dev/null | grep -q writer-killed"
    expect 'salvage: rename' 0 out 'writer-killed: ' salvage "$path" "$DIR/new"
    check 'salvage: tells the mark' grep -q 'own mark: *none' "$OUT"
    check 'salvage: same bytes' test "$(hash_of "$DIR/new")" = "$sum"
    check 'salvage: mode stays' test "$(stat -c %a "$DIR/new")" = 640
    check 'salvage: draft is gone' test ! -e "$path"
    check 'salvage: attributes are gone' sh -c "! getfattr -d '$DIR/new' 2>/dev/null | grep -q saveseal"
    expect 'salvage: plain file afterwards' 4 out 'unsealed' verify "$DIR/new"
    image "$path"
    expect 'salvage: draft without a record' 0 out 'not known: ' salvage "$path" "$DIR/lost"
    python3 -c 'import sys; sys.stdout.buffer.write(b"LibvirtQemudPart" + bytes(500))' >"$path"
    setfattr -n user.saveseal.draft "$path" -v \
        'saveseal/1 target=vm state=waiting writer=x pid=0 start=0 host=box opened=2023-11-14T22:13:20Z'
    expect 'salvage: libvirt image' 0 out 'format:       libvirt' salvage "$path" "$DIR/part"
    check 'salvage: own mark' grep -q 'own mark: *not complete: ' "$OUT"
}

# DEST on another file system: a copy, and the draft goes last.
test_salvage_copy() {
    local path=$DIR/.saveseal.00000000000000aa sum
    fresh
    OTHER_DIR=$(mktemp -d "${TEST_OTHER_DIR:-/dev/shm}/saveseal-tools.XXXXXX" 2>/dev/null) || OTHER_DIR=
    if [ -z "$OTHER_DIR" ] || [ "$(stat -c %d "$OTHER_DIR")" = "$(stat -c %d "$DIR")" ]; then
        skip 'salvage: copy' 'no second file system'
        return
    fi
    draft 00000000000000aa vm interrupted writer-killed
    truncate -s 64M "$path"
    printf end >>"$path"
    sum=$(hash_of "$path")
    chmod 640 "$path"
    expect 'salvage: copy' 0 out 'salvaged' salvage "$path" "$OTHER_DIR/new"
    check 'salvage: copy has the same bytes' test "$(hash_of "$OTHER_DIR/new")" = "$sum"
    check 'salvage: copy has the same mode' test "$(stat -c %a "$OTHER_DIR/new")" = 640
    check 'salvage: copy keeps holes' test "$(stat -c %b "$OTHER_DIR/new")" -lt 20000
    check 'salvage: copied, the draft is gone' test ! -e "$path"
    check 'salvage: copy leaves nothing else' test "$(find "$OTHER_DIR" -type f | wc -l)" -eq 1
    draft 00000000000000aa vm interrupted writer-killed
    expect 'salvage: copy, dest-exists' 2 err 'dest-exists' salvage "$path" "$OTHER_DIR/new"
    check 'salvage: copy, dest-exists, the draft stays' test -e "$path"
    mkdir "$WORK/small"
    if ! mount -t tmpfs -o size=1m tmpfs "$WORK/small" 2>/dev/null; then
        skip 'salvage: full disk' 'can not mount'
        return
    fi
    image "$path" 4096
    setfattr -n user.saveseal.draft "$path" -v \
        'saveseal/1 target=vm state=interrupted reason=writer-killed writer=x pid=0 start=0 host=box opened=2023-11-14T22:13:20Z'
    sum=$(hash_of "$path")
    expect 'salvage: full disk' 3 err 'io-error' salvage "$path" "$WORK/small/new"
    check 'salvage: full disk, the draft stays' test "$(hash_of "$path")" = "$sum"
    check 'salvage: full disk, nothing is left over' test -z "$(ls -A "$WORK/small")"
    umount "$WORK/small"
}

# Several at once for one draft or one name: exactly one wins, and no byte is lost.
test_races() {
    local round i wins pids
    for round in 1 2 3 4 5 6 7 8; do
        fresh
        draft 00000000000000aa vm interrupted writer-killed
        pids=() wins=0
        for i in 1 2 3 4; do
            "$SAVESEAL" discard --force "$DIR/.saveseal.00000000000000aa" >/dev/null 2>&1 &
            pids+=($!)
            "$SAVESEAL" salvage "$DIR/.saveseal.00000000000000aa" "$DIR/new$i" >/dev/null 2>&1 &
            pids+=($!)
        done
        for i in "${pids[@]}"; do
            wait "$i" && wins=$((wins + 1))
        done
        if [ "$wins" -ne 1 ] || [ -e "$DIR/.saveseal.00000000000000aa" ]; then
            not_ok "races: one draft, round $round: $wins winners"
            return
        fi
    done
    ok 'races: of eight for one draft one wins'
    for round in 1 2 3 4 5 6 7 8; do
        fresh
        for i in 1 2 3 4; do draft "000000000000000$i" vm interrupted writer-killed; done
        pids=() wins=0
        for i in 1 2 3 4; do
            "$SAVESEAL" salvage "$DIR/.saveseal.000000000000000$i" "$DIR/new" >/dev/null 2>&1 &
            pids+=($!)
        done
        for i in "${pids[@]}"; do
            wait "$i" && wins=$((wins + 1))
        done
        if [ "$wins" -ne 1 ] || [ "$(find "$DIR" -name '.saveseal.*' | wc -l)" -ne 3 ] || [ ! -e "$DIR/new" ]; then
            not_ok "races: one name, round $round: $wins winners"
            return
        fi
    done
    ok 'races: of four for one name one wins, the other drafts stay'
}

test_names() {
    local name newline=$'new\nline' bytes=$'\xff\xfe.save' escape=$'\e[31mred'
    fresh
    for name in "$newline" "$bytes" "$escape" "it's" '"quoted"' '-dash' ' blank ' '日本'; do
        sealed "$DIR/$name"
        expect "names: verify $(printf %q "$name")" 0 none '' verify "$DIR/$name"
        check "names: one line and a summary for $(printf %q "$name")" test "$(wc -l <"$OUT")" -eq 2
    done
    # shellcheck disable=SC2016 # the dollar is what must be printed
    expect 'names: a newline is quoted' 0 out '$'"'$DIR/new\\nline'" verify "$DIR/$newline"
    expect 'names: status' 0 out '8 images sealed' status "$DIR"
    check 'names: nothing that acts on a terminal' sh -c "! LC_ALL=C grep -q \$(printf '\\033') '$OUT'"
    expect 'names: status as JSON' 0 none '' status --json "$DIR"
    json 'names: all there' 'len(d[0]["entries"]) == 8 and "new\nline" in by_name and "it'"'"'s" in by_name and
        "\u65e5\u672c" in by_name'
    json 'names: not UTF-8' 'by_name["\ufffd\ufffd.save"]["name_hex"] == "fffe2e73617665" and
        "name_hex" not in by_name["it'"'"'s"]'
    expect 'names: path that is not UTF-8' 0 none '' verify --json "$DIR/$bytes"
    json 'names: path_hex' 'bytes.fromhex(d[0]["path_hex"]).endswith(b"dir/\xff\xfe.save")'
    (cd "$DIR" && "$SAVESEAL" verify -- -dash >"$OUT" 2>"$ERR")
    RC=$?
    check 'names: leading dash after --' test "$RC" -eq 0
    draft 00000000000000aa '%FF%0Ax' interrupted writer-killed 'detail=%1B[31m'
    expect 'names: draft with such a target' 0 out '\377\nx' status "$DIR"
    check 'names: its detail does not act on a terminal' sh -c "! LC_ALL=C grep -q \$(printf '\\033') '$OUT'"
    expect 'names: salvage to such a name' 0 none '' salvage "$DIR/.saveseal.00000000000000aa" "$DIR/-$bytes$newline"
    check 'names: salvaged' test -e "$DIR/-$bytes$newline"
}

# On any other file system than FUSE the attribute is what its owner made of it, and must lead nowhere.
test_forged_backing() {
    fresh
    mkdir "$WORK/victim"
    draft 00000000000000aa vm interrupted writer-killed
    mv "$DIR/.saveseal.00000000000000aa" "$WORK/victim"
    setfattr -n user.saveseal.backing -v "$WORK/victim" "$DIR"
    expect 'forged backing: discard' 2 err 'not-found' discard --force "$DIR/.saveseal.00000000000000aa"
    check 'forged backing: the draft elsewhere stays' test -e "$WORK/victim/.saveseal.00000000000000aa"
}

# shellcheck disable=SC2317 # called by wait_for
has_draft() { [ -n "$(find "$DIR" -name '.saveseal.*')" ]; }

test_mount() {
    local mnt=$WORK/mnt sum daemon writer
    fresh
    if [ -z "${SAVESEALFS:-}" ] || [ ! -w /dev/fuse ]; then
        skip 'mount' 'no SAVESEALFS or no /dev/fuse'
        return
    fi
    mkdir "$mnt"
    sealed "$DIR/good"
    sealed "$DIR/bad"
    flip "$DIR/bad" 10
    draft 00000000000000aa vm interrupted writer-killed
    draft 00000000000000ab vm2 interrupted writer-exited
    draft 00000000000000ac vm3 interrupted writer-exited
    "$SAVESEALFS" -f "$DIR" "$mnt" >"$WORK/daemon.log" 2>&1 &
    daemon=$!
    wait_for mountpoint -q "$mnt" || { not_ok 'mount'; return; }
    expect 'mount: drafts are seen by status' 0 out "$mnt/.saveseal.00000000000000aa" status "$mnt"
    expect 'mount: verify whole' 0 out 'good: whole' verify "$mnt/good"
    expect 'mount: verify an image that can not be opened' 1 out 'header-mismatch' verify "$mnt/bad"
    expect 'mount: show a draft' 0 out 'writer-killed' show "$mnt/.saveseal.00000000000000aa"
    expect 'mount: a public name is told its draft' 2 err "draft is $mnt/.saveseal.00000000000000aa" \
        discard --force "$mnt/vm"
    expect 'mount: discard' 0 out 'deleted' discard --force "$mnt/.saveseal.00000000000000aa"
    check 'mount: discarded behind it' test ! -e "$DIR/.saveseal.00000000000000aa"
    sum=$(hash_of "$DIR/.saveseal.00000000000000ab")
    expect 'mount: salvage out of it' 0 none '' salvage "$mnt/.saveseal.00000000000000ab" "$WORK/out.img"
    check 'mount: salvaged out of it' test "$(hash_of "$WORK/out.img")" = "$sum"
    sum=$(hash_of "$DIR/.saveseal.00000000000000ac")
    expect 'mount: salvage through it' 0 none '' salvage "$mnt/.saveseal.00000000000000ac" "$mnt/new"
    check 'mount: salvaged through it' test "$(hash_of "$DIR/new")" = "$sum"
    check 'mount: no draft is left' test -z "$(find "$DIR" -name '.saveseal.*')"
    mkfifo "$WORK/go"
    { printf half; read -r _ <"$WORK/go"; } >"$mnt/slow" &
    writer=$!
    wait_for has_draft
    expect 'mount: a name that is being saved' 3 out 'draft-in-progress' verify "$mnt/slow"
    expect 'mount: status of it' 0 out '1 being written' status "$mnt"
    echo >"$WORK/go"
    wait "$writer"
    expect 'mount: saved' 0 out 'slow: whole' verify "$mnt/slow"
    # shellcheck disable=SC2094 # a child of the writer reads what is being written: that is the case
    { expect 'mount: seen by a child of the writer' 3 out 'draft-in-progress' verify "$mnt/own" >&3; } 3>&1 >"$mnt/own"
    umount "$mnt"
    wait "$daemon"
}

tools_start tools
test_command_line
test_verify
test_verify_seals
test_verify_requests
test_permission
test_status
test_waiting
test_show
test_discard
test_discard_refusals
test_salvage
test_salvage_copy
test_races
test_names
test_forged_backing
test_mount
exit "$FAILED"
