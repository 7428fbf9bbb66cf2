#!/bin/bash
# Saves, restores and managed saves of a real libvirt in a directory under savesealfs, with somebody else looking on, and
# with writers that are killed half-way.
#
#   SAVESEALFS      the daemon, or "none": a plain directory instead. It keeps none of the promises, so every check of one
#                   must then fail, which shows that it can; anything else is checked as usual.
#   SAVESEALFS_RUN  optional command to run the daemon under, such as "setarch -R"
#   MOUNT_OPTIONS   optional, for -o
#   SAVESEAL        the tool
#   TEST_BIN_DIR    where the built test programs are
#   CASE_PHASES     optional: only these (the names of the functions phase_*); each stands alone
#   CASE_SECONDS    optional: then it is ended, whatever it is doing
#   VM_TYPE         optional: kvm or qemu, as in the domain XML
# Exits 0 passed, 1 failed, 77 skipped (never with SAVESEAL_MUST_RUN=1).
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/libvirt.sh
. "$here/lib/libvirt.sh"

SAVESEALFS=${SAVESEALFS:?path of the daemon, or none}
[ "$SAVESEALFS" = none ] || : "${SAVESEAL:?path of the tool}"
TEST_BIN_DIR=${TEST_BIN_DIR:?directory of the test programs}
MOUNT=$VM_SAVE_DIR
HOLD_MIB=16 # how far into its image a save slows down
HOLD_SECONDS=0.4
CASE_SECONDS=${CASE_SECONDS:-235}
failures=0

# --- reporting ---------------------------------------------------------------------------------------------------------

plain() {
    [ "$SAVESEALFS" = none ]
}

# No mount, but libvirtd under saveseal run.
preload() {
    [ "${BACKEND:-mount}" = preload ]
}
preload && export VM_LIBVIRTD="$SAVESEAL run --dir $VM_SAVE_DIR --report --"

pass() {
    echo "ok - $*"
}

fail() {
    echo "not ok - $*"
    failures=$((failures + 1))
}

# Prints what a failed command said, or a log's end.
show() { # FILE [TITLE]
    [ -s "$1" ] || return 0
    [ -z "${2:-}" ] || echo "# --- $2"
    tail -n 25 "$1" | sed 's/^/#   /'
}

check() { # DESCRIPTION COMMAND ARG...
    local what=$1
    shift
    if "$@" >"$WORK/output" 2>&1; then
        pass "$what"
    else
        fail "$what"
        show "$WORK/output"
    fi
}

# A check of what only Saveseal promises.
promise() { # DESCRIPTION COMMAND ARG...
    local what=$1
    if ! plain; then
        check "$@"
        return
    fi
    shift
    if "$@" >"$WORK/output" 2>&1; then
        fail "$what: holds in a plain directory, so this check can not fail"
    else
        pass "a plain directory breaks it: $what"
    fi
}

fails() { # COMMAND ARG...
    ! "$@"
}

# --- the file system under test ----------------------------------------------------------------------------------------

# Sets FS_PID. The log is LOG; any word there that a sanitizer or an assertion would say fails the case at the end.
fs_start() { # BACKING MOUNT LOG [PREFIX...]
    local backing=$1 mount=$2 log=$3 runner
    shift 3
    read -ra runner <<<"${SAVESEALFS_RUN:-}"
    mkdir -p "$backing" "$mount"
    if plain || preload; then
        mount --bind "$backing" "$mount"
        return
    fi
    # shellcheck disable=SC2086  # words
    "$@" "${runner[@]}" "$SAVESEALFS" -f ${MOUNT_OPTIONS:+-o "$MOUNT_OPTIONS"} "$backing" "$mount" >"$log" 2>&1 &
    FS_PID=$!
    vm_wait 20 mountpoint -q "$mount" || { show "$log"; return 1; }
}

fs_stop() { # MOUNT
    umount "$1" || return
    if plain || preload; then
        return
    fi
    vm_wait 20 vm_gone "$FS_PID" && wait "$FS_PID"
}

log_is_clean() { # LOG
    ! grep -E 'Sanitizer|runtime error|[Aa]ssertion|double free|corrupted|stack smashing' "$1"
}

# Exactly one entry of that kind under that name, and it is in that state. Drafts are listed in the backing directory.
status_shows() { # NAME KIND STATE [REASON]
    "$SAVESEAL" status --json "$BACKING" >"$WORK/status.json" # its exit status tells the worst of all entries
    python3 - "$WORK/status.json" "$@" <<'END'
import json, re, sys

path, name, kind, state, *reason = sys.argv[1:]
text = open(path).read()
print(text)
entries = [e for e in json.loads(text)["entries"] if e["name"] == name and e["kind"] == kind]
assert len(entries) == 1, f"{len(entries)} entries"
assert entries[0]["state"] == state, entries[0]["state"]
assert kind != "draft" or re.fullmatch("[0-9a-f]{16}", entries[0]["id"])
assert not reason or entries[0]["reason"] == reason[0], entries[0]["reason"]
END
}

sealed() { # NAME
    plain && return
    check "$1 is sealed" status_shows "$1" image sealed
    check "$1 verifies" "$SAVESEAL" verify "$MOUNT/$1"
}

interrupted() { # NAME [REASON]
    plain && return
    check "status lists one interrupted draft of $1${2:+, $2}" vm_wait 10 status_shows "$1" draft interrupted ${2:+"$2"}
}

# --- what others see ---------------------------------------------------------------------------------------------------

# No way of looking finds a file there.
is_absent() { # PATH
    local name=${1##*/} dir=${1%/*}
    fails stat "$1" && fails cat "$1" && fails grep -qxF "$name" <(ls -A "$dir") &&
        fails ln "$1" "$dir/linked" && fails mv "$1" "$dir/moved" && hides_drafts "$dir"
}

hides_drafts() { # DIR
    preload || fails grep '^\.saveseal\.' <(ls -A "$1")
}

# By name it is still the old image, byte for byte, and so it is for who opens again what he has open: descriptor 7.
is_still_old() { # PATH
    cmp "$1" "$RAM/old" && cmp /dev/fd/7 "$RAM/old" && hides_drafts "${1%/*}"
}

remember_old() { # PATH
    cp "$1" "$RAM/old" && exec 7<"$1"
}

open_file_is_old() {
    cmp - "$RAM/old" <&7
}

forget_old() {
    exec 7<&-
    rm -f "$RAM/old"
}

# Starts the copier, a process that has nothing to do with libvirtd.
watch_begin() { # PATH
    WATCH=$RAM/watch
    rm -rf "$WATCH" # of the phase before
    mkdir "$WATCH"
    "$TEST_BIN_DIR/copier" "$1" "$WATCH" >"$WATCH/log" 2>&1 &
    WATCH_PID=$!
}

# Sets WATCH_LAST: what the copier found after this call had begun.
watch_end() {
    kill -TERM "$WATCH_PID"
    vm_wait 20 vm_gone "$WATCH_PID" || fail "the copier hangs"
    echo "# copier: $(tail -n 1 "$WATCH/log")"
    WATCH_LAST=$(sed -n 's/^last \([a-z]*\) .*/\1/p' "$WATCH/log")
}

watch_found_last() { # absent or whole
    cat "$WATCH/log"
    [ "$WATCH_LAST" = "$1" ]
}

# Everything that the copier ever got was a whole image, and every size that it was told was that of one.
watch_saw_whole_images() {
    local copy size
    grep '^trouble' "$WATCH/log" && return 1
    for copy in "$WATCH"/copy-*; do
        vm_image_is_whole "$copy" || return
    done
    while read -r size; do
        compgen -G "$WATCH/copy-$size-*" >/dev/null || { echo "stat told a size of $size"; return 1; }
    done < <(sed -n 's/^stat //p' "$WATCH/log")
}

watch_saw_only_old() {
    watch_found_last whole && watch_saw_whole_images && cmp "$WATCH"/copy-* "$RAM/old" # more than one copy: cmp refuses
}

watch_saw_nothing() {
    watch_found_last absent && fails grep -E '^(trouble|stat)' "$WATCH/log" && fails compgen -G "$WATCH/copy-*"
}

# virsh restore takes each copy, and the guest then has one of the RAMs.
copies_restore() { # RAM...
    local copy
    for copy in "$WATCH"/copy-*; do
        plain && fails vm_image_is_whole "$copy" >/dev/null 2>&1 && continue # shown already
        check "virsh restore takes what the copier got, ${copy##*/}" restored_ram_is "$copy" "$@"
    done
}

restored_ram_is() { # IMAGE RAM...
    local image=$1 ram
    shift
    vm_off vm1 && vm_load vm1 "$RAM/ram-unused" && vm restore "$image" || return
    for ram in "$@"; do
        vm_ram_is vm1 "$ram" && return
    done
    return 1
}

# --- steps -------------------------------------------------------------------------------------------------------------

boot_fresh() { # RAM
    vm_off vm1
    check "a fresh boot with ${1##*/}" eval "vm_load vm1 '$1' && vm start vm1 && vm_ram_is vm1 '$1'"
}

# Starts virsh ARG... and slows that save down half-way, where LOOK must find things as promised. Sets VIRSH_PID.
begin_held_save() { # PATH LOOK ARG...
    local path=$1 look=$2
    shift 2
    watch_begin "$path"
    vm_pace_saves "$HOLD_MIB"
    vm "$@" >"$WORK/virsh" 2>&1 &
    VIRSH_PID=$!
    check "virsh $*: is held half-way" vm_hold_save
    promise "half-way through, ${path##*/} ${look//_/ }" "$look" "$path"
    plain || check "and status lists its draft" status_shows "${path##*/}" draft writing
    sleep "$HOLD_SECONDS" # for the copier, to have many looks
}

save_watched() { # PATH LOOK ARG...
    begin_held_save "$@"
    vm_release_save
    check "the save succeeds" wait "$VIRSH_PID"
    watch_end
    check "then others find the image" watch_found_last whole
    promise "others only ever found no image or a whole one" watch_saw_whole_images
    sealed "${1##*/}"
}

# --- phases ------------------------------------------------------------------------------------------------------------

phase_save() {
    boot_fresh "$RAM/ram-a"
    save_watched "$MOUNT/image.sav" is_absent save vm1 "$MOUNT/image.sav"
    copies_restore "$RAM/ram-a"
    check "virsh restore brings the RAM back" restored_ram_is "$MOUNT/image.sav" "$RAM/ram-a"
}

# Saves a guest with RAM-OLD into IMAGE, then boots it with RAM-NEW.
make_old_image() { # IMAGE RAM-OLD RAM-NEW
    boot_fresh "$2"
    check "virsh save ${1##*/}" vm save vm1 "$1"
    sealed "${1##*/}"
    remember_old "$1"
    boot_fresh "$3"
}

phase_save_over() {
    local image=$MOUNT/over.sav
    make_old_image "$image" "$RAM/ram-a" "$RAM/ram-b"
    save_watched "$image" is_still_old save vm1 "$image"
    promise "who had the old image open still has all of it" open_file_is_old
    forget_old
    copies_restore "$RAM/ram-a" "$RAM/ram-b"
    check "virsh restore brings the new RAM back" restored_ram_is "$image" "$RAM/ram-b"
}

phase_bypass_cache() {
    local image=$MOUNT/bypass.sav
    make_old_image "$image" "$RAM/ram-a" "$RAM/ram-b"
    save_watched "$image" is_still_old save --bypass-cache vm1 "$image"
    forget_old
    copies_restore "$RAM/ram-a" "$RAM/ram-b"
    vm_off vm1
    check "virsh restore --bypass-cache" vm restore --bypass-cache "$image"
    check "brings the new RAM back" vm_ram_is vm1 "$RAM/ram-b"
}

image_has_xml() { # IMAGE WORD
    vm save-image-dumpxml "$1" | grep "<description>$2<"
}

phase_edit() {
    local image=$MOUNT/edited.sav word
    boot_fresh "$RAM/ram-a"
    check "virsh save ${image##*/}" vm save vm1 "$image"

    watch_begin "$image"
    check "virsh save-image-edit" env EDITOR="sed -i s/first/second/" virsh -q -c qemu:///system save-image-edit "$image"
    check "changes the XML in the image" image_has_xml "$image" second
    sealed edited.sav
    for word in first second first second; do # back and forth: only so many different contents
        vm save-image-dumpxml "$image" | sed -E "s/first|second/$word/" >"$WORK/edited.xml"
        check "virsh save-image-define" vm save-image-define "$image" "$WORK/edited.xml"
        check "changes the XML in the image" image_has_xml "$image" "$word"
    done
    sealed edited.sav
    watch_end
    # No promise: a plain directory shows a torn header for microseconds only.
    check "others only ever found a whole image" watch_saw_whole_images

    copies_restore "$RAM/ram-a"
    check "virsh restore brings the RAM back" restored_ram_is "$image" "$RAM/ram-a"
}

phase_managedsave() {
    local image=$MOUNT/vm1.save
    boot_fresh "$RAM/ram-a"
    save_watched "$image" is_absent managedsave vm1
    check "libvirt knows of the managed save" vm_has_managed_save vm1
    vm_load vm1 "$RAM/ram-unused"
    check "virsh start" vm start vm1
    check "brings the RAM back" vm_ram_is vm1 "$RAM/ram-a"
    check "and the image is gone" is_absent "$image"
    copies_restore "$RAM/ram-a"

    check "virsh managedsave --bypass-cache" vm managedsave --bypass-cache vm1
    sealed vm1.save
    check "virsh start --bypass-cache" vm start --bypass-cache vm1
    check "brings the RAM back" vm_ram_is vm1 "$RAM/ram-a"

    check "virsh managedsave once more" vm managedsave vm1
    check "virsh managedsave-remove" vm managedsave-remove vm1
    check "and the image is gone" is_absent "$image"
}

phase_helper_killed() {
    local image=$MOUNT/killed.sav
    make_old_image "$image" "$RAM/ram-a" "$RAM/ram-b"
    begin_held_save "$image" is_still_old save vm1 "$image"
    check "libvirt_iohelper is killed" vm_kill_helper
    check "virsh save fails" fails wait "$VIRSH_PID"
    check "the guest runs on" vm_state_is vm1 running
    check "with its RAM" vm_ram_is vm1 "$RAM/ram-b"
    promise "the old image stays" is_still_old "$image"
    interrupted killed.sav writer-killed
    watch_end
    promise "others only ever found the old image" watch_saw_only_old
    forget_old
    promise "virsh restore takes the old image" restored_ram_is "$image" "$RAM/ram-a"

    boot_fresh "$RAM/ram-b"
    check "virsh save once more" vm save vm1 "$image"
    sealed killed.sav
    check "virsh restore brings the new RAM back" restored_ram_is "$image" "$RAM/ram-b"
}

phase_helper_killed_managed() {
    local image=$MOUNT/vm1.save
    boot_fresh "$RAM/ram-a"
    begin_held_save "$image" is_absent managedsave vm1
    check "libvirt_iohelper is killed" vm_kill_helper
    check "virsh managedsave fails" fails wait "$VIRSH_PID"
    check "the guest runs on" vm_state_is vm1 running
    check "with its RAM" vm_ram_is vm1 "$RAM/ram-a"
    check "nothing is there" is_absent "$image" # libvirtd has unlinked it
    check "libvirt knows of no managed save" fails vm_has_managed_save vm1
    watch_end
    promise "others never found anything" watch_saw_nothing
}

# Kills libvirtd while the save is held, lets the helper end by itself, and sees that it does.
kill_libvirtd_in_save() {
    check "libvirtd is killed" vm_libvirtd_kill
    wait "$VIRSH_PID"
    vm_release_save
    check "libvirt_iohelper ends" vm_wait 20 vm_gone "$VM_HELPER"
}

restart_libvirtd() {
    check "libvirtd starts again" vm_libvirtd_start
    check "and the guest that it finds is destroyed" vm_off vm1
}

phase_libvirtd_killed() {
    local image=$MOUNT/orphan.sav
    make_old_image "$image" "$RAM/ram-a" "$RAM/ram-b"
    begin_held_save "$image" is_still_old save vm1 "$image"
    kill_libvirtd_in_save
    interrupted orphan.sav
    promise "the old image stays" is_still_old "$image"
    watch_end
    promise "others only ever found the old image" watch_saw_only_old
    forget_old
    restart_libvirtd
    promise "virsh restore takes the old image" restored_ram_is "$image" "$RAM/ram-a"
}

phase_libvirtd_killed_managed() {
    local image=$MOUNT/vm1.save
    boot_fresh "$RAM/ram-a"
    begin_held_save "$image" is_absent managedsave vm1
    kill_libvirtd_in_save
    interrupted vm1.save
    promise "nothing is there" is_absent "$image"
    watch_end
    promise "others never found anything" watch_saw_nothing
    restart_libvirtd
    promise "libvirt knows of no managed save" fails vm_has_managed_save vm1
    boot_fresh "$RAM/ram-b" # its own check: the RAM is the new one, so no image was resumed
}

TRACED=write,writev,pwrite64,pwritev,pwritev2,splice,copy_file_range,fallocate,ftruncate
TRACED+=,fsync,fdatasync,rename,renameat,renameat2

# A second mount, whose daemon runs under strace from its start.
phase_durability() {
    local backing=$WORK/traced mount=$WORK/traced-mount main=${FS_PID:-} returned
    plain && return
    ASAN_OPTIONS=detect_leaks=0 fs_start "$backing" "$mount" "$WORK/traced.log" \
        strace -f -y -ttt -s 64 -o "$WORK/trace" -e trace="$TRACED"
    boot_fresh "$RAM/ram-a"
    check "virsh save on a traced mount" vm save vm1 "$mount/image.sav"
    returned=$EPOCHREALTIME
    check "data synced, then renamed, then directory synced, all before virsh save returned" \
        order_is_durable "$WORK/trace" "$backing" image.sav "$returned"
    check "virsh restore brings the RAM back" restored_ram_is "$mount/image.sav" "$RAM/ram-a"
    vm_off vm1
    check "unmounts" fs_stop "$mount"
    check "the traced daemon's log is clean" log_is_clean "$WORK/traced.log"
    FS_PID=$main
}

order_is_durable() { # TRACE BACKING NAME RETURNED
    python3 - "$@" <<'END'
import re, sys

trace, backing, name, returned = sys.argv[1:]
WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2", "splice", "copy_file_range", "fallocate", "ftruncate"}

def calls():
    """Every call as (name, arguments, begin, end, result): one that another thread's call interrupts has two lines."""
    begun = {}
    for line in open(trace, errors="replace"):
        head = re.match(r"(\d+) +(\d+\.\d+) (.*)", line)
        if not head:
            continue
        pid, at, text = head[1], float(head[2]), head[3]
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
        if text.endswith("<unfinished ...>"):
            begun[pid] = (at, text[:-len("<unfinished ...>")])
            continue
        begin, text = (begun[pid][0], begun.pop(pid)[1] + resumed[1]) if resumed else (at, text)
        call = re.match(r"(\w+)\((.*)\) += (-?\d+)", text)
        if call:
            yield call[1], call[2], begin, at, int(call[3])

done = [c for c in calls() if c[4] >= 0]
renames = [c for c in done if c[0].startswith("rename") and re.search(r'\.saveseal\.[0-9a-f]{16}".*[/"]' + re.escape(name) + '"', c[1])]
assert len(renames) == 1, f"{len(renames)} renames to {name}"
rename = renames[0]
draft = re.search(r"\.saveseal\.[0-9a-f]{16}", rename[1])[0]

def first(names, path, after, what):
    found = [c for c in done if c[0] in names and f"<{path}>" in c[1] and c[2] >= after]
    assert found, f"no {what} after {after}"
    print(f"{what}: {found[0]}")
    return found[0]

writes = [c for c in done if c[0] in WRITES and f"<{backing}/{draft}>" in c[1]]
last_write = max((c[3] for c in writes), default=0.0) # none: a file written by kernel passthrough
print(f"{len(writes)} writes, the last ended at {last_write}")
sync = first({"fsync", "fdatasync"}, f"{backing}/{draft}", last_write, "sync of the draft")
assert sync[3] <= rename[2], "renamed before the sync had ended"
directory = first({"fsync"}, backing, rename[3], "sync of the directory")
assert directory[3] <= float(returned), "directory synced after virsh save had returned"
END
}

# --- the case ----------------------------------------------------------------------------------------------------------

run_phase() { # NAME
    local began=$SECONDS
    echo "# $1"
    "phase_$1"
    echo "# $1 took $((SECONDS - began)) s"
}

inside() {
    WORK=$CASE_WORK
    BACKING=$WORK/backing
    : >"$WORK/fs.log"
    RAM=$WORK/host/ram
    check "a private libvirt" vm_host_start "$WORK/host"
    check "whose saves can be slowed down" vm_pacer_start
    vm_make_content "$RAM/ram-a"
    vm_make_content "$RAM/ram-b"
    vm_make_content "$RAM/ram-unused" # what a guest would have that was booted where it should be restored
    check "the file system is mounted" fs_start "$BACKING" "$MOUNT" "$WORK/fs.log"
    check "libvirtd starts on it" vm_libvirtd_start
    echo "# guests run with $VM_TYPE"
    check "a guest is defined" vm_define vm1

    if [ "$failures" = 0 ]; then
        for phase in ${CASE_PHASES:-save save_over bypass_cache edit managedsave helper_killed helper_killed_managed \
            libvirtd_killed libvirtd_killed_managed durability}; do
            run_phase "$phase"
        done
    fi

    vm_host_stop
    check "unmounts" fs_stop "$MOUNT"
    check "the daemon's log is clean" log_is_clean "$WORK/fs.log"
    echo "# $failures failed, $SECONDS s"
    [ "$failures" = 0 ]
}

outside() {
    local missing status
    missing=$(vm_missing)
    if ! plain; then
        [ -c /dev/fuse ] || missing="no /dev/fuse"
        command -v strace >/dev/null || missing="no strace"
    fi
    vm_run_inside "$CASE_SECONDS" libvirt "$missing"
    status=$?
    [ "$status" = 0 ] && exit 0

    [ "$status" = 1 ] || fail "it was ended with status $status after $SECONDS s"
    show "$CASE_WORK/fs.log" savesealfs
    show "$CASE_WORK/traced.log" "savesealfs under strace"
    # Two complaints that every start of libvirtd in a network namespace, and of a guest without cgroups, brings.
    grep -vE 'virNetDevSendEthtoolIoctl|virCgroupDetectControllers' "$CASE_WORK/host/log/libvirtd.log" >"$CASE_WORK/libvirtd.log"
    show "$CASE_WORK/libvirtd.log" libvirtd
    show "$CASE_WORK/host/log/qemu/vm1.log" QEMU
    exit 1
}

if [ -n "${CASE_WORK:-}" ]; then
    inside
else
    outside
fi
