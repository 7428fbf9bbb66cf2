#!/bin/bash
# saveseal expire: which drafts are old, which may be whole, what is asked, and what comes to life meanwhile.
#
# SAVESEAL      path of the tool
# TEST_BIN_DIR  directory of mkseal and lockdraft
set -u

# shellcheck source=tests/lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
# shellcheck source=tests/lib/images.sh
. "$(dirname "$0")/lib/images.sh"
# shellcheck source=tests/lib/killed.sh
. "$(dirname "$0")/lib/killed.sh"

drafts() { find "$DIR" -name '.saveseal.*'; }

old_draft() { # ID [DATE]: what draft or libvirt_draft made
    touch -d "${2:-2023-11-20}" "$DIR/.saveseal.$1"
}

test_expire() {
    local path=$DIR/.saveseal.00000000000000
    fresh
    sealed "$DIR/image"
    touch -d 2020-01-01 "$DIR/image"
    draft 00000000000000a1 vm interrupted writer-killed
    draft 00000000000000a2 vm interrupted write-failed
    draft 00000000000000b1 young interrupted writer-killed
    draft 00000000000000b2 future interrupted writer-killed
    draft 00000000000000b3 live writing
    draft 00000000000000b4 closed interrupted closed-unpublished
    draft 00000000000000b5 taken interrupted name-taken
    libvirt_draft 00000000000000b6 interrupted writer-killed
    image "${path}b7"
    libvirt_draft 00000000000000a3 interrupted writer-killed 5
    draft 00000000000000b8 recent interrupted writer-killed
    setfattr -n user.saveseal.draft "${path}b8" -v "saveseal/1 target=recent state=interrupted reason=writer-killed \
pid=0 start=0 opened=$(date -u -d '2 days ago' +%Y-%m-%dT%H:%M:%SZ)"
    for id in a1 a2 a3 b3 b4 b5 b6 b7 b8; do old_draft "00000000000000$id"; done
    old_draft 00000000000000b2 2099-01-01
    lock "${path}b3"
    expect 'expire: without a terminal' 2 err '--force or --dry-run is needed' expire --older-than 7d "$DIR"
    expect 'expire: --json does not ask' 2 err '--force or --dry-run is needed' expire --json --older-than 7d "$DIR"
    expect 'expire: --dry-run' 0 out '3 drafts would be deleted' expire --older-than 7d --dry-run "$DIR"
    check 'expire: --dry-run names them' grep -q "^${path}a1: would be deleted (draft of vm, 64.0 KiB, .*, writer-killed)" "$OUT"
    check 'expire: names what may be whole' test "$(grep -c 'kept, it may be whole' "$OUT")" -eq 3
    expect 'expire: --dry-run, JSON' 0 none '' expire --older-than 7d --dry-run --json "$DIR"
    json 'expire: JSON' '{o["path"][-2:]: o["action"] for o in d[0]["drafts"]} ==
        {"a1": "would-delete", "a2": "would-delete", "a3": "would-delete", "b1": "young", "b2": "young",
         "b4": "may-be-whole", "b5": "may-be-whole", "b6": "may-be-whole", "b8": "young"} and
        d[0]["summary"]["would_delete"] == 3'
    run_on_terminal n expire --older-than 7d "$DIR"
    check 'expire: a no' test "$RC" -eq 2 -a "$(drafts | wc -l)" -eq 11
    check 'expire: the question' grep -q 'Delete 3 drafts?' "$OUT"
    run_on_terminal y expire --older-than 7d "$DIR"
    check 'expire: a yes' test "$RC" -eq 0 -a "$(drafts | sed 's/.*\(..\)$/\1/' | sort | tr '\n' ' ')" = \
        'b1 b2 b3 b4 b5 b6 b7 b8 '
    expect 'expire: nothing left to do' 0 out '0 drafts deleted' expire --older-than 7d --force "$DIR"
    expect 'expire: --also-complete' 0 out '3 drafts deleted' expire --older-than 1w --also-complete --force "$DIR"
    unlock
    expect 'expire: interrupted since' 0 out '1 draft deleted' expire --older-than 7d --force "$DIR"
    expect 'expire: opened two days ago' 0 out '1 draft deleted' expire --older-than 47h --force "$DIR"
    expect 'expire: all that are not of the future' 0 out '1 draft deleted' expire --older-than 0s --force "$DIR"
    check 'expire: kept, of the future, and without a record' test "$(drafts | wc -l)" -eq 2 -a -e "${path}b2" -a -e "${path}b7"
    check 'expire: images stay' test -e "$DIR/image"
}

# A save that began, and wrote, long ago may have been given up today; and its writer may go on without its daemon.
test_expire_life() {
    local path=$DIR/.saveseal.00000000000000
    fresh
    draft 00000000000000a1 vm interrupted write-failed "ended=$(date -u -d '2 days ago' +%Y-%m-%dT%H:%M:%SZ)"
    draft 00000000000000a2 vm writing
    sealed "$DIR/old"
    touch -d 2020-01-01 "$DIR/old"
    for id in a1 a2; do old_draft "00000000000000$id"; done
    expect 'expire: set aside' 0 none '' quarantine --force "$DIR/old"
    exec 8>>"${path}a2"
    expect 'expire: interrupted two days ago, set aside just now, written still' 0 out '0 drafts would be deleted' \
        expire --older-than 3d --also-complete --dry-run "$DIR"
    expect 'expire: of two days ago' 0 out '1 draft deleted' expire --older-than 47h --also-complete --force "$DIR"
    expect 'discard: written still' 3 err 'draft-in-progress' discard --force "${path}a2"
    expect 'salvage: written still' 3 err 'draft-in-progress' salvage "${path}a2" "$DIR/new"
    exec 8>&-
    expect 'expire: written no more' 0 out '1 draft deleted' expire --older-than 3d --also-complete --force "$DIR"
    check 'expire: what was set aside just now stays' test "$(drafts | wc -l)" -eq 1
}

# It comes to life between the list and its turn.
test_expire_race() {
    local path=$DIR/.saveseal.00000000000000aa
    fresh
    draft 00000000000000aa vm interrupted writer-killed
    old_draft 00000000000000aa
    python3 - "$path" >"$OUT" 2>"$ERR" <<'PY'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(os.environ["SAVESEAL"], [os.environ["SAVESEAL"], "expire", "--older-than", "7d", os.path.dirname(sys.argv[1])])
seen = b""
while b"Delete 1 draft?" not in seen:
    seen += os.read(fd, 4096)
writer = open(sys.argv[1], "ab")
os.write(fd, b"y\n")
try:
    while data := os.read(fd, 4096):
        seen += data
except OSError:
    pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
    RC=$?
    check 'expire: written again before it is deleted' test "$RC" -eq 0 -a -e "$path"
    check 'expire: which is no failure' grep -q ': 0 drafts deleted' "$OUT"
}

test_expire_requests() {
    local wrong
    fresh
    for wrong in 7 d 7x -1d 1.5d '' '7 d' 7dd 999999999999999999999d 99999999999d; do
        expect "expire: no duration: '$wrong'" 2 err 'takes a number' expire "--older-than=$wrong" --force "$DIR"
    done
    expect 'expire: no duration' 2 err '--older-than is missing' expire --force "$DIR"
    expect 'expire: not there' 2 err 'not-found' expire --older-than 1d --force "$DIR/none"
    image "$DIR/vm"
    expect 'expire: a file' 2 err 'it is not a directory' expire --older-than 1d --force "$DIR/vm"
}

# Only all of it tells that the end is there: it is what saveseal finish would complete.
test_expire_packed() { # PROGRAM NUMBER
    local path=$DIR/.saveseal.00000000000000
    images_pack "$1" "$2" || { cannot "expire: $1" 'no such program'; return; }
    fresh
    WHOLE=$WHOLE.$1 libvirt_draft 00000000000000a1 interrupted format-incomplete
    WHOLE=$WHOLE.$1 libvirt_draft 00000000000000a2 interrupted writer-killed 5
    WHOLE=$WHOLE.$1 libvirt_draft 00000000000000a3 interrupted writer-killed
    flip "${path}a3" "$(($(stat -c %s "${path}a3") / 2))"
    for id in a1 a2 a3; do old_draft "00000000000000$id"; done
    expect "expire: $1" 0 out '2 drafts deleted' expire --older-than 7d --force "$DIR"
    check "expire: $1, whole but for its mark" grep -q "^${path}a1: kept, it may be whole" "$OUT"
    expect "expire: $1, finished" 0 out 'vm: finished' finish --force "${path}a1"
}

# A disk image has no mark: what it refers to is there, and counted.
test_expire_qcow2() {
    local path=$DIR/.saveseal.00000000000000
    fresh
    draft 00000000000000a1 disk interrupted writer-killed
    qemu-img create -q -f qcow2 "${path}a1" 1M || { not_ok 'expire: no qcow2'; return; }
    draft 00000000000000a2 damaged interrupted writer-killed
    cat "${path}a1" >"${path}a2"
    flip "${path}a2" 131079 # the count of a cluster
    old_draft 00000000000000a1
    old_draft 00000000000000a2
    expect 'expire: qcow2' 0 out "${path}a1: kept, it may be whole" expire --older-than 7d --force "$DIR"
    check 'expire: qcow2, damaged' test ! -e "${path}a2" -a -e "${path}a1"
}

# What nobody could look at is not old.
test_expire_trouble() {
    local path=$DIR/.saveseal.00000000000000aa name call more
    more="-P $path"
    fresh
    if ! strace -qq true 2>/dev/null; then cannot 'expire: read errors' 'no strace'; return; fi
    for call in pread64:error=EIO fgetxattr:error=EIO:when=5+; do # the listing makes four
        libvirt_draft 00000000000000aa interrupted writer-killed 5
        "$MKSEAL" "$path"
        flip "$path" 70000
        old_draft 00000000000000aa
        name="expire: $call"
        traced "$call" expire --older-than 7d --force "$DIR"
        RC=$?
        check "$name" test "$RC" -eq 3 -a -e "$path"
        check "$name, tells" grep -q "io-error" "$ERR"
    done
    traced pread64:error=EIO expire --older-than 7d --force --json "$DIR"
    json 'expire: read error, JSON' 'd[0]["drafts"][0]["action"] == "failed" and d[0]["summary"]["failed"] == 1'
    setfattr -n user.saveseal.seal -v "saveseal/2 later=1" "$path"
    old_draft 00000000000000aa
    expect 'expire: a seal of later' 0 out '0 drafts deleted' expire --older-than 7d --force "$DIR"
    setfattr -n user.saveseal.seal -v "saveseal/1 no=seal" "$path"
    expect 'expire: a seal that is none' 0 out '1 draft deleted' expire --older-than 7d --force "$DIR"
}

tools_start expire
tools_need 'no QEMU' images_start "$WORK"
test_expire
test_expire_requests
test_expire_life
test_expire_race
test_expire_packed gzip 1
test_expire_packed zstd 5
test_expire_qcow2
test_expire_trouble
exit "$FAILED"
