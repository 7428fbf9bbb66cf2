#!/bin/bash
# saveseal seal, quarantine, finish, and what salvage and show tell: on a plain directory, on a live mount, on a
# terminal, and killed at each of their system calls.
#
# SAVESEAL      path of the tool
# TEST_BIN_DIR  directory of mkseal and lockdraft
# SAVESEALFS    path of the daemon
set -u
: "${SAVESEALFS:?path of the daemon}"

DAEMON='' WRITER='' TRACER='' TOOL=''
# shellcheck disable=SC2317 # called at the end
case_cleanup() {
    exec 8>&-
    [ -z "$TRACER" ] || kill -KILL "$TOOL" 2>/dev/null
    [ -z "$WRITER" ] || kill "$WRITER" 2>/dev/null
    if mountpoint -q "$WORK/mnt" 2>/dev/null; then umount -l "$WORK/mnt"; fi
    if mountpoint -q "$WORK/bare" 2>/dev/null; then umount "$WORK/bare"; fi
    [ -z "$DAEMON" ] || wait "$DAEMON"
    [ ! -e "$DIR/fixed" ] || chattr -i "$DIR/fixed"
}

# shellcheck source=tests/lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
# shellcheck source=tests/lib/images.sh
. "$(dirname "$0")/lib/images.sh"
# shellcheck source=tests/lib/killed.sh
. "$(dirname "$0")/lib/killed.sh"

# ---- seal ----

test_seal() {
    local before
    fresh
    cp "$STREAM" "$DIR/stream"
    libvirt_image "$DIR/done" Save
    libvirt_image "$DIR/proven" Save
    libvirt_image "$DIR/part" Part
    libvirt_image "$DIR/cut" Save 5
    image "$DIR/raw"
    expect 'seal: complete by its own marks' 0 out 'stream: sealed (complete by its own marks' seal "$DIR/stream"
    expect 'seal: then it is whole' 0 out 'stream: whole' verify "$DIR/stream"
    check 'seal: writer' grep -q 'writer=saveseal%20seal$' <<<"$(seal_of "$DIR/stream")"
    before=$(seal_of "$DIR/stream")
    expect 'seal: again' 0 out 'already sealed, intact' seal "$DIR/stream"
    expect 'seal: again, --force' 0 out 'already sealed, intact' seal --force "$DIR/stream"
    check 'seal: again, the seal stays' test "$(seal_of "$DIR/stream")" = "$before"
    expect 'seal: libvirt image, JSON' 0 none '' seal --json "$DIR/done"
    json 'seal: JSON' 'd[0]["action"] == "sealed" and d[0]["found"] == "complete" and d[0]["exit"] == 0 and
        d[0]["inside"]["kind"] == "libvirt"'
    expect 'seal: not proven' 4 err 'raw: end-unproven: ' seal "$DIR/raw"
    check 'seal: not proven, says how' grep -q -- '--force seals it' "$ERR"
    check 'seal: not proven, no seal' has_no_seal "$DIR/raw"
    expect 'seal: several, the worst counts' 1 none '' seal --json "$DIR/part" "$DIR/raw" "$DIR/stream"
    json 'seal: several' '[(o["action"], o["exit"]) for o in d] ==
        [("refused", 1), ("refused", 4), ("kept", 0)]'
    expect 'seal: --force' 0 out 'as you say that it is good' seal --force "$DIR/raw"
    check 'seal: --force is in the seal' grep -q 'writer=saveseal%20seal%20--force$' <<<"$(seal_of "$DIR/raw")"
    expect 'seal: --force where none was needed' 0 out 'complete by its own marks' seal --force "$DIR/proven"
    check 'seal: then it is not in the seal' grep -q 'writer=saveseal%20seal$' <<<"$(seal_of "$DIR/proven")"
    expect 'seal: --force, whole' 0 out 'raw: whole' verify "$DIR/raw"
    expect 'seal: marked incomplete' 1 err 'part: format-incomplete: ' seal --force "$DIR/part"
    expect 'seal: damaged inside, also with --force' 1 err 'cut: stream-damaged: ' seal --force "$DIR/cut"
    check 'seal: damaged, no seal' has_no_seal "$DIR/cut"
}

test_seal_changed() {
    local before
    fresh
    sealed "$DIR/changed"
    libvirt_image "$DIR/cut" Save
    "$MKSEAL" "$DIR/cut"
    truncate -s -5 "$DIR/cut"
    flip "$DIR/changed" 40000
    before=$(seal_of "$DIR/changed")
    expect 'seal: changed since it was sealed' 1 err 'content-mismatch: ' seal "$DIR/changed"
    check 'seal: changed, the old seal stays' test "$(seal_of "$DIR/changed")" = "$before"
    expect 'seal: changed, --force' 0 out 'sealed anew' seal --force "$DIR/changed"
    expect 'seal: sealed anew' 0 out 'changed: whole' verify "$DIR/changed"
    before=$(seal_of "$DIR/cut")
    expect 'seal: cut since it was sealed, --force' 1 err 'stream-damaged: ' seal --force "$DIR/cut"
    check 'seal: cut, the old seal stays' test "$(seal_of "$DIR/cut")" = "$before"
    setfattr -n user.saveseal.seal -v 'what is this' "$DIR/changed"
    expect 'seal: unreadable seal' 1 err 'seal-invalid: ' seal "$DIR/changed"
    expect 'seal: unreadable seal, --force' 0 out 'sealed anew' seal --force "$DIR/changed"
    truncate -s 1T "$DIR/long"
    setfattr -n user.saveseal.seal "$DIR/long" -v "saveseal/1 format=unknown header=$((1 << 40)) header-sha256=\
$(printf x | sha256sum | cut -d' ' -f1) size=$((1 << 40)) sealed=2024-01-01T00:00:00Z writer=x"
    expect 'seal: a forged length of the header is not read' 1 out 'seal-invalid: ' verify --quick "$DIR/long"
    rm "$DIR/long"
    setfattr -n user.saveseal.seal -v 'saveseal/2 tree=x' "$DIR/changed"
    expect 'seal: seal of a newer version' 4 err 'seal-too-new: ' seal --force "$DIR/changed"
    check 'seal: seal of a newer version stays' test "$(seal_of "$DIR/changed")" = 'saveseal/2 tree=x'
    image "$DIR/thin"
    "$MKSEAL" --header "$DIR/thin"
    expect 'seal: of the header only' 0 out 'already sealed, header intact' seal "$DIR/thin"
    expect 'seal: of the header only, --force' 0 out 'sealed anew' seal --force "$DIR/thin"
    expect 'seal: made whole' 0 out 'thin: whole' verify "$DIR/thin"
}

test_seal_requests() {
    fresh
    cp "$STREAM" "$DIR/vm"
    ln "$DIR/vm" "$DIR/other-name"
    ln -s vm "$DIR/link"
    mkdir "$DIR/sub"
    mkfifo "$DIR/pipe"
    draft 00000000000000aa vm interrupted writer-killed
    expect 'seal: a draft' 2 err 'it is a draft' seal --force "$DIR/.saveseal.00000000000000aa"
    expect 'seal: directory' 2 err 'not-a-file' seal "$DIR/sub"
    expect 'seal: fifo does not hang' 2 err 'not-a-file' seal "$DIR/pipe"
    expect 'seal: not there' 2 err 'not-found' seal "$DIR/none"
    exec 8>>"$DIR/vm"
    expect 'seal: open for writing' 3 err 'somebody has it open for writing' seal --force "$DIR/vm"
    exec 8>&-
    check 'seal: open for writing, no seal' has_no_seal "$DIR/vm"
    expect 'seal: a symbolic link leads to it' 0 out 'link: sealed' seal "$DIR/link"
    expect 'seal: a hard link has it, too' 0 out 'other-name: whole' verify "$DIR/other-name"
    if [ "$(id -u)" -ne 0 ]; then
        cannot 'seal: files of others' 'not root'
        return
    fi
    image "$DIR/read-only"
    chown 65534 "$DIR" "$DIR/read-only"
    chmod 444 "$DIR/read-only"
    run_unprivileged seal --force "$DIR/read-only"
    check 'seal: read-only file of its owner' test "$RC" -eq 0 -a "$(stat -c %a "$DIR/read-only")" = 444
    image "$DIR/roots"
    run_unprivileged seal --force "$DIR/roots"
    check 'seal: no-permission' test "$RC" -eq 2
    check 'seal: no-permission says so' grep -q 'no-permission' "$ERR"
    chmod 666 "$DIR/roots"
    run_unprivileged seal --force "$DIR/roots"
    check 'seal: where no lease is given' test "$RC" -eq 0
    image "$DIR/fixed"
    if chattr +i "$DIR/fixed" 2>/dev/null; then
        expect 'seal: immutable' 2 err 'it may be immutable' seal --force "$DIR/fixed"
        chattr -i "$DIR/fixed"
    else
        skip 'seal: immutable' 'the file system has no such attribute'
    fi
    mkdir -p "$WORK/bare"
    mount -t ramfs none "$WORK/bare"
    image "$WORK/bare/vm"
    expect 'seal: no attributes' 2 err 'has no extended attributes' seal --force "$WORK/bare/vm"
    expect 'quarantine: no attributes' 2 err 'has no extended attributes' quarantine --force "$WORK/bare/vm"
    check 'quarantine: no attributes, it stays' test -e "$WORK/bare/vm"
    libvirt_image "$WORK/bare/part"
    expect 'finish: no attributes' 0 err 'it has no seal' finish --force "$WORK/bare/part"
    check 'finish: no attributes, done' test "$(mark_of "$WORK/bare/part")" = LibvirtQemudSave
    umount "$WORK/bare"
}

# Somebody writes while it is being sealed: with a lease, he waits; where the kernel gives none, only times tell.
test_seal_race() {
    local by
    fresh
    image "$DIR/vm"
    hold fsync seal --force "$DIR/vm" || { not_ok 'seal: could not be held'; return; }
    printf more >>"$DIR/vm" &
    WRITER=$!
    check 'seal: a writer waits for it' wait_for has_pending_urgent "$TOOL"
    release
    wait "$WRITER"
    WRITER=
    check 'seal: written meanwhile' test "$RC" -eq 3
    check 'seal: written meanwhile says so' grep -q 'changed-while-reading' "$ERR"
    check 'seal: written meanwhile, no seal' has_no_seal "$DIR/vm"
    check 'seal: written meanwhile, by him' test "$(tail -c 4 "$DIR/vm")" = more
    sealed "$DIR/next"
    hold fsync seal --force "$DIR/vm" || { not_ok 'seal: could not be held'; return; }
    mv "$DIR/next" "$DIR/vm"
    release
    check 'seal: replaced meanwhile' test "$RC" -eq 3
    rm "$DIR/vm"
    image "$DIR/vm"
    [ "$(id -u)" -eq 0 ] || return
    by='setpriv --reuid=65534 --regid=65534 --clear-groups'
    chmod 666 "$DIR/vm"
    chmod 777 "$WORK"
    hold fsync seal --force "$DIR/vm" || { not_ok 'seal: could not be held'; return; }
    printf more >>"$DIR/vm"
    release
    chmod 755 "$WORK"
    check 'seal: written meanwhile, no lease' test "$RC" -eq 3
    check 'seal: written meanwhile, no lease, no seal' has_no_seal "$DIR/vm"
}

# ---- quarantine ----

test_quarantine() {
    local path sum
    fresh
    for name in body good forced; do sealed "$DIR/$name"; done
    flip "$DIR/body" 40000
    libvirt_image "$DIR/part"
    image "$DIR/raw"
    sum=$(hash_of "$DIR/body")
    expect 'quarantine: damaged' 0 out 'body: set aside as ' quarantine "$DIR/body"
    path=$(grep -o "$DIR/.saveseal.[0-9a-f]*" "$OUT")
    check 'quarantine: the name is gone' test ! -e "$DIR/body"
    check 'quarantine: same bytes' test "$(hash_of "$path")" = "$sum"
    expect 'quarantine: verify tells where it is' 2 err "the draft is $path" verify "$DIR/body"
    run status --json "$DIR"
    json 'quarantine: status' '[(e["name"], e["state"], e["reason"], e["writer"]) for e in drafts.values()] ==
        [("body", "interrupted", "content-mismatch", "mkseal")]'
    expect 'quarantine: verify tells the reason' 1 out 'content-mismatch: ' verify "$path"
    expect 'quarantine: salvage tells what its seal says' 0 out 'its seal:     content-mismatch: ' \
        salvage "$path" "$DIR/body"
    check 'quarantine: salvage brings it back' test "$(hash_of "$DIR/body")" = "$sum"
    expect 'quarantine: incomplete by its own mark' 0 out 'format-incomplete' quarantine "$DIR/part"
    rm "$(drafts)"
    expect 'quarantine: intact' 2 err 'it is not damaged: intact' quarantine "$DIR/good"
    expect 'quarantine: unknown' 4 err 'end-unproven' quarantine "$DIR/raw"
    expect 'quarantine: of three, JSON' 4 none '' quarantine --json "$DIR/raw" "$DIR/raw"
    json 'quarantine: refused in JSON' '[o["action"] for o in d] == ["refused", "refused"]'
    check 'quarantine: what is not damaged stays' test -e "$DIR/good" -a -e "$DIR/raw"
    expect 'quarantine: --force, JSON' 0 none '' quarantine --force --json "$DIR/forced"
    json 'quarantine: JSON' 'd[0]["action"] == "set-aside" and d[0]["reason"] == "quarantined" and
        ".saveseal." in d[0]["draft"] and d[0]["links"] == 1'
    check 'quarantine: --force' test ! -e "$DIR/forced"
    run status --json "$DIR"
    json 'quarantine: status of what was forced' '[e["reason"] for e in drafts.values()] == ["quarantined"]'
}

test_quarantine_requests() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    sealed "$DIR/vm"
    flip "$DIR/vm" 10
    ln -s vm "$DIR/link"
    ln "$DIR/vm" "$DIR/other-name"
    expect 'quarantine: a symbolic link' 2 err "name the image itself, $DIR/vm" quarantine --force "$DIR/link"
    expect 'quarantine: directory' 2 err 'not-a-file' quarantine --force "$DIR"
    expect 'quarantine: not there' 2 err 'not-found' quarantine --force "$DIR/none"
    exec 8>>"$DIR/vm"
    expect 'quarantine: open for writing' 3 err 'somebody has it open for writing' quarantine --force "$DIR/vm"
    exec 8>&-
    draft 00000000000000aa vm writing
    expect 'quarantine: a draft' 2 err 'it is a draft' quarantine --force "$path"
    lock "$path"
    expect 'quarantine: a new version is being saved' 3 err 'draft-in-progress' quarantine "$DIR/vm"
    check 'quarantine: refused, the image stays' test -e "$DIR/vm" -a -z "$(record_of "$DIR/vm")"
    expect 'quarantine: a new version is being saved, --force' 0 err 'other names' quarantine --force "$DIR/vm"
    check 'quarantine: the draft that is being saved stays' test -e "$path" -a "$(drafts | wc -l)" -eq 2
    unlock
}

# Between its last look and its rename the image is replaced, and once more before it can give back what it took.
test_quarantine_race() {
    local more before call draft
    make_damaged() { fresh && sealed "$DIR/vm" && flip "$DIR/vm" 10; }
    make_damaged
    traced getpid:delay_enter=0 quarantine "$DIR/vm"
    before=$(sed -n '/^renameat2(/q; s/^\([a-z0-9_]*\)(.*/\1/p' "$WORK/trace")
    call=$(tail -n 1 <<<"$before")
    make_damaged
    more='-e inject=renameat2:signal=STOP:when=1'
    hold "$call:$(grep -cx "$call" <<<"$before")" quarantine "$DIR/vm" || { not_ok 'quarantine: could not be held'; return; }
    echo second >"$DIR/second" && mv "$DIR/second" "$DIR/vm"
    kill -CONT "$TOOL"
    check 'quarantine: held again' wait_for has_stopped 2
    check 'quarantine: it has taken the newer one' test ! -e "$DIR/vm"
    echo third >"$DIR/vm"
    release
    check 'quarantine: replaced meanwhile' test "$RC" -eq 3
    check 'quarantine: the newest has the name' test "$(cat "$DIR/vm")" = third
    draft=$(drafts)
    check 'quarantine: the one between is there' test "$(cat "$draft")" = second
    check 'quarantine: and is listed' grep -q 'target=vm state=interrupted reason=name-taken' <<<"$(record_of "$draft")"
}

# ---- finish ----

test_finish() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    libvirt_draft 00000000000000aa interrupted writer-killed
    expect 'finish: without a terminal' 2 err '--force is needed' finish "$path"
    run_on_terminal n finish "$path"
    check 'finish: a no' test "$RC" -eq 2 -a "$(mark_of "$path")" = LibvirtQemudPart -a ! -e "$DIR/vm"
    check 'finish: the question' grep -q 'Has the guest NOT run since then' "$OUT"
    run_on_terminal yes finish "$path"
    check 'finish: a yes' test "$RC" -eq 0 -a "$(mark_of "$DIR/vm")" = LibvirtQemudSave
    check 'finish: no draft is left' no_drafts
    check 'finish: no record is left' test -z "$(record_of "$DIR/vm")"
    expect 'finish: whole' 0 out 'vm: whole' verify --deep "$DIR/vm"
    check 'finish: writer' grep -q 'writer=saveseal%20finish$' <<<"$(seal_of "$DIR/vm")"
    libvirt_draft 00000000000000aa waiting
    expect 'finish: the name is taken' 2 err 'dest-exists' finish --force "$path"
    check 'finish: the name is taken, the draft is as it was' test "$(mark_of "$path")" = LibvirtQemudPart
    rm "$DIR/vm"
    if hold fsync finish --force "$path"; then
        echo other >"$DIR/vm"
        release
        check 'finish: the name is taken meanwhile' test "$RC" -eq 2
        check 'finish: it is not replaced' test "$(cat "$DIR/vm")" = other -a -e "$path"
        rm "$DIR/vm"
        expect 'finish: once it is free, again' 0 out 'vm: finished, sealed' finish --force "$path"
    else
        not_ok 'finish: could not be held'
    fi
    rm "$DIR/vm"
    libvirt_draft 00000000000000aa waiting
    lock "$path"
    expect 'finish: being written' 3 err 'draft-in-progress' finish --force "$path"
    unlock
    expect 'finish: waiting, its writer is gone; JSON' 0 none '' finish --force --json "$path"
    json 'finish: JSON' 'd[0]["action"] == "finished" and d[0]["sealed"] and d[0]["image"].endswith("dir/vm")'
    libvirt_draft 00000000000000aa interrupted daemon-died
    printf Save | dd of="$path" bs=1 seek=12 conv=notrunc status=none
    rm "$DIR/vm"
    expect 'finish: broken off behind the mark' 0 out 'vm: finished, sealed' finish --force "$path"
}

test_finish_refusals() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    libvirt_draft 00000000000000aa interrupted writer-killed 1
    expect 'finish: the end is missing' 1 err 'stream-damaged' finish --force "$path"
    check 'finish: the end is missing, as it was' test "$(mark_of "$path")" = LibvirtQemudPart
    libvirt_draft 00000000000000aa interrupted write-failed
    expect 'finish: a write had failed' 1 err 'write-failed' finish --force "$path"
    libvirt_draft 00000000000000aa interrupted sync-failed
    expect 'finish: a sync had failed' 1 err 'sync-failed' finish --force "$path"
    draft 00000000000000aa vm interrupted writer-killed
    expect 'finish: something else' 2 err 'no save image of libvirt' finish --force "$path"
    libvirt_image "$path"
    setfattr -x user.saveseal.draft "$path"
    expect 'finish: no record' 2 err 'salvage it' finish --force "$path"
    check 'finish: refused, nothing has a name' test ! -e "$DIR/vm"
    libvirt_image "$DIR/part"
    ln -s part "$DIR/link"
    expect 'finish: a symbolic link' 2 err 'symbolic link' finish --force "$DIR/link"
    exec 8>>"$DIR/part"
    expect 'finish: an image, open for writing' 3 err 'somebody has it open for writing' finish --force "$DIR/part"
    exec 8>&-
    run_on_terminal '' finish "$DIR/part"
    check 'finish: an image, no answer' test "$RC" -eq 2 -a "$(mark_of "$DIR/part")" = LibvirtQemudPart
    expect 'finish: an image' 0 out 'part: finished, sealed' finish --force "$DIR/part"
    expect 'finish: an image, whole' 0 out 'part: whole' verify --deep "$DIR/part"
    expect 'finish: sealed' 2 err 'it has a seal' finish --force "$DIR/part"
    libvirt_image "$DIR/touched"
    hold fsync:2 finish --force "$DIR/touched" || { not_ok 'finish: could not be held'; return; }
    printf x >>"$DIR/touched"
    release
    check 'finish: an image, changed behind its mark' test "$RC" -eq 3
    check 'finish: an image, changed behind its mark: no seal' has_no_seal "$DIR/touched"
    libvirt_image "$DIR/cut" Part 7
    expect 'finish: an image whose end is missing' 1 err 'stream-damaged' finish --force "$DIR/cut"
    check 'finish: an image, as it was' test "$(mark_of "$DIR/cut")" = LibvirtQemudPart
}

# ---- what salvage and show tell ----

# Only all of it tells that the end is there.
test_tell_packed() { # PROGRAM NUMBER
    local path=$DIR/.saveseal.00000000000000ab
    images_pack "$1" "$2" || { cannot "salvage: $1" 'no such program'; return; }
    WHOLE=$WHOLE.$1 libvirt_draft 00000000000000ab interrupted writer-killed
    expect "salvage: $1" 0 out 'but for that:  its end is there' salvage "$path" "$DIR/$1"
    WHOLE=$WHOLE.$1 libvirt_draft 00000000000000ab interrupted writer-killed 5
    expect "salvage: $1, its end is missing" 0 none '' salvage --json "$path" "$DIR/$1-cut"
    json "salvage: $1, its end is missing" 'not d[0]["lacks_only_mark"]'
}

# What the header and the XML of libvirt's image in $DIR/done say.
test_tell_facts() {
    local wanted
    json 'show: each fact' '(lambda f: {k: f[k] for k in f if k != "machine" and k != "devices"} == {"version": "2",
        "was-running": "yes", "stream": "raw", "description-bytes": str(d[0]["size"] - '"$(stat -c %s "$STREAM")"' - 92),
        "cookie": "no", "domain": "vm1", "type": "qemu", "uuid": "c7a5fdbd-edaf-9455-926a-d65c16db1809",
        "memory": "16384 KiB", "vcpus": "1", "page-size": "4096"} and f["machine"].startswith("pc-"))(d[0]["inside"]["facts"])'
    python3 - "$DIR/done" <<'PY'
import struct, sys
with open(sys.argv[1], "r+b") as image:
    data = image.read(1024)
    end = data.index(b"\0", 92) + 1
    image.seek(end)
    image.write(b"<cookie><x/></cookie>\0")
    image.seek(32)
    image.write(struct.pack("=I", end - 92))
PY
    run show "$DIR/done"
    for wanted in "size: *$(stat -c %s "$DIR/done") bytes (.* KiB)" 'judged: *complete: ' 'stream: *raw' 'cookie: *yes' \
        'domain: *vm1' 'memory: *16384 KiB' 'uuid: *c7a5fdbd-' 'machine: *pc-'; do
        check "show: ${wanted%% *}" grep -q "^  $wanted" "$OUT"
    done
}

test_tell() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    libvirt_draft 00000000000000aa interrupted writer-killed
    libvirt_image "$DIR/done" Save
    sealed "$DIR/raw"
    expect 'show: inside of an image without a seal' 4 out 'inside:        libvirt save image' show "$DIR/done"
    expect 'show: inside, JSON' 4 none '' show --json "$DIR/done"
    json 'show: facts' 'd[0]["inside"]["kind"] == "libvirt" and d[0]["inside"]["finding"] == "complete" and
        isinstance(d[0]["inside"]["facts"], dict) and d[0]["finding"] == "unsealed"'
    test_tell_facts
    expect 'show: inside of a sealed image' 0 out 'judged:        end-unproven: ' show "$DIR/raw"
    expect 'show: inside of a draft' 0 out 'judged:        format-incomplete: ' show "$path"
    "$MKSEAL" "$path"
    expect 'salvage: JSON' 0 none '' salvage --json "$path" "$DIR/new"
    json 'salvage: what is known whole' 'd[0]["action"] == "salvaged" and d[0]["mark"] == "partial" and
        d[0]["by_seal"] == "intact" and d[0]["reason"] == "writer-killed" and d[0]["target"] == "vm" and
        d[0]["inside"]["finding"] == "format-incomplete" and d[0]["lacks_only_mark"]'
    expect 'salvage: refused, JSON' 2 none '' salvage --json "$path" "$DIR/new"
    json 'salvage: refused' 'd[0]["action"] == "refused" and d[0]["finding"] == "not-found"'
    libvirt_draft 00000000000000aa interrupted writer-killed
    "$MKSEAL" "$path"
    expect 'salvage: text' 0 out 'its seal:     intact: all of it' salvage "$path" "$DIR/new2"
    check 'salvage: only its mark is missing' grep -q 'but for that: *its end is there' "$OUT"
    check 'salvage: inside' grep -q 'judged: *format-incomplete: ' "$OUT"
    libvirt_draft 00000000000000aa interrupted writer-killed 5
    expect 'salvage: its end is missing' 0 out 'own mark:     not complete: ' salvage "$path" "$DIR/new3"
    check 'salvage: its end is missing, and it does not say otherwise' test "$(grep -c 'but for that' "$OUT")" -eq 0
    test_tell_packed gzip 1
    test_tell_packed zstd 5
    if [ "$(id -u)" -ne 0 ]; then
        cannot 'salvage: read-only file of its owner' 'not root'
        return
    fi
    libvirt_draft 00000000000000aa interrupted writer-killed
    chown 65534 "$DIR" "$path"
    chmod 400 "$path"
    run_unprivileged salvage "$path" "$DIR/mine"
    check 'salvage: read-only file of its owner' test "$RC" -eq 0 -a "$(stat -c %a "$DIR/mine")" = 400
    check 'salvage: read-only file of its owner, without record' test -z "$(record_of "$DIR/mine")" -a ! -s "$ERR"
}

# ---- on a mount ----

# shellcheck disable=SC2317 # called by wait_for
is_gone() { ! stat "$1" >/dev/null 2>&1; }
# shellcheck disable=SC2317
is_being_written() { "$SAVESEAL" status "$1" | grep -q '1 being written'; }

mount_it() { # OPTION...: $DIR, on $WORK/mnt
    mkdir -p "$WORK/mnt"
    "$SAVESEALFS" -f "$@" "$DIR" "$WORK/mnt" >"$WORK/daemon.log" 2>&1 &
    DAEMON=$!
    wait_for mountpoint -q "$WORK/mnt" || { not_ok 'mount'; return 1; }
}

unmount_it() {
    umount "$WORK/mnt"
    wait "$DAEMON"
    DAEMON=
    check 'mount: the daemon had no trouble' sh -c "! grep -qE 'Sanitizer|runtime error' '$WORK/daemon.log'"
}

test_mount() {
    local mnt=$WORK/mnt sum
    fresh
    cp "$STREAM" "$DIR/stream"
    for name in bad slow; do
        sealed "$DIR/$name"
        flip "$DIR/$name" 40000
    done
    libvirt_draft 00000000000000aa interrupted writer-killed
    draft 00000000000000ab gone interrupted writer-killed
    touch -d 2023-11-20 "$DIR/.saveseal.00000000000000ab"
    mount_it || return
    cat "$mnt/stream" "$mnt/bad" >/dev/null
    expect 'mount: seal' 0 out 'stream: sealed' seal "$mnt/stream"
    expect 'mount: sealed' 0 out 'stream: whole' verify "$mnt/stream"
    check 'mount: sealed, it can be read' cmp -s "$mnt/stream" "$STREAM"
    expect 'mount: quarantine' 0 out "bad: set aside as $mnt/.saveseal." quarantine "$mnt/bad"
    check 'mount: quarantined, it is gone for all' wait_for is_gone "$mnt/bad"
    printf new >"$mnt/bad"
    check 'mount: quarantined, the name can be saved again' test "$(cat "$mnt/bad")" = new
    expect 'mount: finish' 0 out "$mnt/vm: finished, sealed" finish --force "$mnt/.saveseal.00000000000000aa"
    check 'mount: finished, it is there' wait_for cmp -s "$mnt/vm" "$DIR/vm"
    expect 'mount: expire' 0 out '1 draft deleted' expire --older-than 1d --force "$mnt"
    check 'mount: expired' test ! -e "$DIR/.saveseal.00000000000000ab"
    mkfifo "$WORK/go"
    { printf half; read -r _ <"$WORK/go"; printf whole; } >"$mnt/slow" &
    WRITER=$!
    check 'mount: it is being saved' wait_for is_being_written "$mnt"
    expect 'mount: a name that is being saved' 3 err 'draft-in-progress' quarantine "$mnt/slow"
    expect 'mount: a name that is being saved, --force' 0 none '' quarantine --force "$mnt/slow"
    expect 'mount: what is being saved does not expire' 0 out ': 2 drafts would be deleted' \
        expire --older-than 0s --also-complete --dry-run "$mnt"
    echo >"$WORK/go"
    wait "$WRITER"
    WRITER=
    check 'mount: the save was not disturbed' test "$(cat "$mnt/slow")" = halfwhole
    expect 'mount: and is sealed' 0 out 'slow: whole' verify "$mnt/slow"
    sum=$(drafts | wc -l)
    check 'mount: two were set aside' test "$sum" -eq 2
    unmount_it
}

# The mount waits to see how salvage ends before it publishes what that has saved; meanwhile somebody gets the name.
test_mount_taken() {
    local mnt=$WORK/mnt draft=$DIR/.saveseal.00000000000000ac
    fresh
    draft 00000000000000ac other interrupted writer-killed
    mount_it -o commit=settle,settle=1000 || return
    hold clock_nanosleep salvage "$draft" "$mnt/mine" || { not_ok 'mount: salvage could not be held'; return; }
    echo theirs >"$DIR/mine"
    release
    check 'mount: salvage, the name is taken meanwhile' test "$RC" -eq 2
    check 'mount: salvage, says so' grep -q 'dest-exists' "$ERR"
    check 'mount: salvage, theirs stays' test "$(cat "$DIR/mine")" = theirs
    check 'mount: salvage, so does the draft' test -e "$draft"
    unmount_it
}

test_kill() {
    kill_everywhere seal 'fsync fsetxattr fsync' seal "$DIR/vm"
    kill_everywhere quarantine 'fsetxattr fsync renameat2 fsync' quarantine "$DIR/vm"
    kill_everywhere finish 'fsync pwrite64 fsync fsync fsetxattr fsync renameat2 fremovexattr fsync' \
        finish --force "$DIR/.saveseal.00000000000000aa"
    kill_everywhere finishimage 'fsync pwrite64 fsync fsync fsetxattr fsync' finish --force "$DIR/vm"
}

# A file system that does not know RENAME_NOREPLACE: in two steps, between which it may be killed.
test_two_steps() {
    local path=$DIR/.saveseal.00000000000000aa more
    fresh
    libvirt_draft 00000000000000aa interrupted writer-killed
    more='-e inject=unlinkat:signal=KILL:when=1'
    traced renameat2:error=EINVAL finish --force "$path" 2>/dev/null
    check 'two steps: killed between them, it has both names' test "$DIR/vm" -ef "$path"
    more=''
    traced renameat2:error=EINVAL finish --force "$path"
    RC=$?
    check 'two steps: finished' test "$RC" -eq 0 -a ! -e "$path"
    expect 'two steps: it is whole' 0 out 'vm: whole' verify --deep "$DIR/vm"
    libvirt_draft 00000000000000aa interrupted writer-killed
    traced renameat2:error=EINVAL salvage "$path" "$DIR/vm"
    RC=$?
    check 'two steps: nothing is replaced' test "$RC" -eq 2 -a -e "$path"
    more='-e inject=unlinkat:error=EIO:when=1'
    traced renameat2:error=EINVAL salvage "$path" "$DIR/new"
    RC=$?
    check 'two steps: what failed is undone' test "$RC" -eq 3 -a -e "$path" -a ! -e "$DIR/new"
    check 'two steps: with its record' test -n "$(record_of "$path")"
    sealed "$DIR/bad"
    flip "$DIR/bad" 10
    more=''
    traced renameat2:error=EINVAL quarantine "$DIR/bad"
    RC=$?
    check 'one step: set aside' test "$RC" -eq 0 -a ! -e "$DIR/bad"
    # Between two a new version could get the name, and would be removed.
    check 'one step: the name is not unlinked' test "$(grep -cE '^(linkat|unlinkat)\(' "$WORK/trace")" -eq 0
}

test_command_line() {
    local command
    run --help
    cp "$OUT" "$WORK/help"
    for command in seal quarantine finish expire; do
        check "help names $command" grep -q "^  $command " "$WORK/help"
        expect "$command: help" 0 out "Usage: saveseal $command" "$command" --help
        check "$command: help fits 80 columns" awk 'length > 80 { exit 1 }' "$OUT"
        check "$command: help is quiet on stderr" test ! -s "$ERR"
        expect "$command: wrong option" 2 err 'unknown option --frobnicate' "$command" --frobnicate
        expect "$command: without a name" 2 err 'a name is missing' "$command"
    done
    # What is asked must be seen: a question that goes into a file is none.
    fresh
    draft 00000000000000aa vm interrupted writer-killed
    RC=$(script -qec "'$SAVESEAL' discard '$DIR/.saveseal.00000000000000aa' 2>'$ERR'" /dev/null <<<y >/dev/null; echo $?)
    check 'no question into a file' test "$RC" -eq 2 -a -e "$DIR/.saveseal.00000000000000aa"
}

tools_start repair
tools_need 'no strace' command -v strace
tools_need 'no QEMU' images_start "$WORK"
tools_need 'no /dev/fuse' test -w /dev/fuse
test_command_line
test_seal
test_seal_changed
test_seal_requests
test_seal_race
test_quarantine
test_quarantine_requests
test_quarantine_race
test_finish
test_finish_refusals
test_tell
test_mount
test_mount_taken
test_two_steps
test_kill
exit "$FAILED"
