#!/bin/bash
# How writers end and what becomes of their drafts: every row of the verdict table, on a free name and over an old version.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/thin.sh
. "$(dirname "$0")/lib/thin.sh"
# shellcheck source=tests/lib/verdicts.sh
. "$(dirname "$0")/lib/verdicts.sh"

case_cleanup() {
    if mountpoint -q "$back"; then umount "$back"; fi
    if mountpoint -q "$work/store"; then umount "$work/store"; fi
}

# --- one process ---

explicit_closes() {
    published "close()" create write:100K close
    kept "close() and then killed" "writer-killed writer killed by signal 9" "" create write:100K close kill:9
    published "dup2() over it" create write:100K dup2
    published "close_range()" create write:100K closerange
    published "close on exec" create write:100K cloexec exec
    kept "close on exec, then a failure" "writer-exited writer exited with status 1" "" create write:100K cloexec exec:/bin/false
    published "close on exec by a thread" create write:100K cloexec thread [ exec ] join
    published "open across exec" create write:100K exec
    kept "open across exec, and the new program fails" "writer-exited writer exited with status 1" "" \
        create write:100K exec:/bin/false
}

ends() {
    local pair
    published "exit(0) with it open" create write:100K
    kept "exit(3) with it open" "writer-exited writer exited with status 3" "" create write:100K exit:3
    for pair in 9:SIGKILL 15:SIGTERM 11:SIGSEGV; do
        kept "${pair#*:}" "writer-killed writer killed by signal ${pair%:*}" "" create write:100K "kill:${pair%:*}"
    done
    kept "abort()" "writer-killed writer killed by signal 6" "" create write:100K abort
    kept "killed before the first byte" "writer-killed writer killed by signal 9" "" create kill:9
}

threads() {
    local i
    kept "killed while another thread writes" "writer-killed writer killed by signal 9" "" \
        create thread [ write:100K post:a await:z ] await:a kill:9
    published "the first thread ends, another writes and closes" create thread [ nap:50 write:100K close exit:0 ] leave
    published "the first thread ends, another writes and exits with 0" create thread [ nap:50 write:100K exit:0 ] leave
    kept "the first thread ends, another is killed" "writer-killed writer killed by signal 9" "" \
        create thread [ nap:50 write:100K kill:9 ] leave
    # Whichever thread is the last one closes.
    for ((i = 0; i < $(rounds 4); i++)); do
        published "exit(0) by a thread while another waits" create write:100K thread [ exit:0 ] await:z
        published "exit(0) while threads wait" create write:100K thread [ await:z ] thread [ await:z ] nap:5 exit:0
        kept "exit(3) by a thread while another waits" "writer-exited writer exited with status 3" "" \
            create write:100K thread [ exit:3 ] await:z
    done
}

# --- several processes ---

children() {
    local end
    for end in exit:0 exit:3 kill:9; do
        published "an heir that does not write ends first: $end" create write:100K fork [ "$end" ] join close
    done
    published "an heir ends last: exit(0)" create write:100K fork [ orphaned ] close
    published "an heir ends last, the opener exits with it open" create write:100K fork [ orphaned ]
    published "an heir closes last" create write:100K fork [ orphaned close exit:0 ] close
    kept "an heir closes last, then fails" "writer-exited * status 3" "" create write:100K fork [ orphaned close exit:3 ] close
    kept "an heir ends last: exit(3)" "writer-exited writer exited with status 3" "" \
        create write:100K fork [ orphaned exit:3 ] close
    kept "an heir ends last: killed" "writer-killed writer killed by signal 9" "" \
        create write:100K fork [ orphaned kill:9 ] close
    published "a child writes it all and exits with 0" create fork [ write:100K ] join close
    kept "a child that wrote is killed, the opener closes" "writer-killed writer killed by signal 9" "close: EIO" \
        create write:50K fork [ write:50K kill:9 ] join close
    kept "a child that wrote exits with 3, the opener closes" "writer-exited writer exited with status 3" "close: EIO" \
        create write:50K fork [ write:50K exit:3 ] join close
    kept "the opener is killed, a child writes and closes" "writer-killed writer killed by signal 9" "close: EIO" \
        create fork [ orphaned write:100K close ] kill:9
    kept "the opener exits with 3, a child writes and closes" "writer-exited writer exited with status 3" "close: EIO" \
        create fork [ orphaned write:100K close ] exit:3
    kept "the opener closes and is killed, a child writes and closes" "writer-killed * signal 9" "" create fork [ orphaned write:100K close ] close kill:9
}

descriptors_sent() {
    published "sent; the receiver writes and closes" receiver [ take write:100K close post:a ] create send close await:a
    kept "sent and closed; the sender is killed before the receiver writes" "writer-killed writer killed by signal 9" "" \
        receiver [ take orphaned write:100K close ] create send close kill:9
    kept "sent; the sender is killed after the receiver's close" "writer-killed writer killed by signal 9" "" \
        receiver [ take write:100K close post:a ] create send close await:a kill:9
    kept "sent; the sender is killed with it open" "writer-killed writer killed by signal 9" "" \
        receiver [ take write:100K close post:a ] create send await:a kill:9
    kept "sent; the receiver is killed" "writer-killed writer killed by signal 9" "" \
        receiver [ take await:a write:100K kill:9 ] create send close post:a join
    kept "sent; the receiver writes and is killed, the sender closes last" "writer-killed writer killed by signal 9" "close: EIO" \
        receiver [ take write:100K kill:9 ] create send join close
    published "sent; the receiver does not write and is killed" \
        receiver [ take kill:9 ] create write:100K send join close
    published "sent, never received" receiver [ await:a ] create write:100K send close post:a join
}

# shell TEXT published|PATTERN COMMAND: a shell command with $F, written for both names.
shell() {
    local text=$1 want=${differs[$1]-$2} over
    for over in free old; do
        fresh_name
        [ "$over" = free ] || put_old
        { F=$mnt/$name A=$work/a B=$work/b under bash -c "$3"; } 2>/dev/null
        if [ "$want" = published ]; then
            F=$plain/$name A=$work/a B=$work/b bash -c "$3" 2>/dev/null
            report "$text ($over name): published" "$(not_published "$plain/$name")"
        else
            report "$text ($over name): kept" "$(not_kept "$want" "$over")"
            kept_rows=$((kept_rows + 1))
        fi
    done
}

# shellcheck disable=SC2016  # for the inner shell
shells() {
    shell "cmd >f" published 'cat "$A" >"$F"; exit 7'
    shell "exec cmd >f" published 'exec cat "$A" >"$F"'
    shell "(a; b) >f" published '(cat "$A"; cat "$B") >"$F"'
    shell "{ a; b; } >f, and a fails" published '{ false; cat "$B"; } >"$F"'
    shell "a | b >f" published 'cat "$A" "$B" | cat >"$F"'
    shell "cmd >f, and cmd exits with 3" "writer-exited writer exited with status 3" 'bash -c "cat \$A; exit 3" >"$F"; true'
    shell "cmd >f, and cmd closes it itself before it exits with 1" "writer-exited writer exited with status 1" 'cat "$A" /nonexistent >"$F"; true'
    shell "(a; false) >f" "writer-exited writer exited with status 1" '(cat "$A"; false) >"$F"; true'
    shell "a shell killed in a redirection" "writer-killed writer killed by signal 9" '{ cat "$A"; kill -9 $$; } >"$F"'
    shell "exec 3>f, killed" "writer-killed writer killed by signal 15" 'exec 3>"$F"; cat "$A" >&3; kill $$'
}

# --- shared mappings ---

mappings() {
    published "mapped: munmap, close" createrw truncate:64K map:64K touch:64K unmap close
    published "mapped: close, munmap" createrw truncate:64K map:64K touch:64K close unmap
    published "mapped: close, write, munmap" createrw truncate:64K map:64K close touch:64K unmap nap:100
    published "mapped: exit(0)" createrw truncate:64K map:64K touch:64K
    kept "mapped: killed with it open" "writer-killed writer killed by signal 9" "" createrw truncate:64K map:64K touch:64K kill:9
    kept "mapped: close, write, killed" "writer-@(killed|vanished) *" "" createrw truncate:64K map:64K close touch:64K kill:9
    kept "mapped: close, write, exit(3)" "writer-@(exited|vanished) *" "" createrw truncate:64K map:64K close touch:64K exit:3
}

# --- a format that marks its end ---

held_in_background() { # STEP...: with hold:$hold among them
    touch "$hold"
    under "$writer" "$mnt/$name" "$@" >"$work/said" 2>&1 </dev/null &
    held=$!
}
go_on() {
    rm "$hold"
    wait "$held"
    said=$(tr '\n' ' ' <"$work/said")
    said=${said% }
}

marks() {
    local partial="the magic is LibvirtQemudPart"
    published "partial, closed, reopened, complete" create part:4K at:92 write:100K close open save:4K close
    published "the same with a child that writes" \
        create fork [ part:4K at:92 write:100K sync close ] close join open save:4K close
    published "reopened by a child" create part:4K at:92 write:100K close fork [ open save:4K close ] join
    kept "partial, and the writer gone" "format-incomplete $partial" "" create part:4K at:92 write:100K close
    kept "partial, and the writer gone with it open" "format-incomplete $partial" "" create part:4K at:92 write:100K
    kept "partial, closed, killed" "format-incomplete $partial" "" create part:4K at:92 write:100K close kill:9
    kept "partial, reopened, closed" "format-incomplete $partial" "" create part:4K at:92 write:100K close open close
    kept "complete, but longer than the file" "format-incomplete the header and its data are 1048668 bytes, the file has only 102492" "" \
        create save:1M at:92 write:100K close
    kept "complete, but data of no length" "format-incomplete the header says that its data is 0 bytes long" "" \
        create save:0 at:92 write:100K close
    kept "complete, and then killed with it open" "writer-killed writer killed by signal 9" "" \
        create save:4K at:92 write:100K kill:9
    kept "partial, reopened, killed after the complete header" "writer-killed writer killed by signal 9" "" \
        create part:4K at:92 write:100K close open save:4K kill:9
}

waiting_state() {
    local over
    for over in free old; do
        fresh_name
        [ "$over" = free ] || put_old
        held_in_background create part:4K at:92 write:100K close "hold:$hold" open save:4K close
        check "partial, closed ($over name): waiting" wait_until 10 state_like "*draft waiting draft-waiting the magic is LibvirtQemudPart"
        if [ "$over" = free ]; then
            equal "no other process can open it" "$("$writer" "$mnt/$name" open)" "open: ENOENT"
        else
            check "others have the old version" whole_as "$old"
        fi
        go_on
        "$writer" "$plain/$name" create part:4K at:92 write:100K close open save:4K close
        report "and after its end ($over name): published" "$(not_published "$plain/$name")$(said_problem "")"
    done
}

# --- what is no plain save ---

empty_file() {
    fresh_name
    save create close
    equal "created and closed: an empty file, unsealed" "$(state)" "image unsealed unsealed"
    check "which is empty" test -e "$mnt/$name" -a ! -s "$mnt/$name"
    save edit write:100K close
    "$writer" "$plain/$name" create write:100K close
    report "and filled by another process: published" "$(not_published "$plain/$name")$(said_problem "")"
    save trunc close
    equal "O_RDONLY | O_TRUNC: empty and unsealed" "$(state)" "image unsealed unsealed"
}

fingerprint() {
    stat -c '%i %s %Y %y %z' "$1"
    getfattr -n user.saveseal.seal --only-values "$1" 2>/dev/null
}

unchanged_edit() {
    local before
    fresh_name
    put_old
    before=$(fingerprint "$back/$name")
    save edit close
    equal "opened O_RDWR and closed: nothing changed" "$(fingerprint "$back/$name")" "$before"
    save append close
    save open kill:9
    equal "opened O_WRONLY and killed: nothing changed" "$(fingerprint "$back/$name")" "$before"
    equal "and no draft is left" "$(state)" "image sealed intact${left_by_kill-}"
}

# edited TEXT STEP...: changes of an existing image, made by a process of their own.
edited() {
    local text=$1
    shift
    fresh_name
    put_old
    cp "$old" "$plain/$name"
    save "$@"
    "$writer" "$plain/$name" "$@" >/dev/null
    report "$text: published" "$(not_published "$plain/$name")$(said_problem "")"
    fresh_name
    put_old
    save "$@" exit:0
    report "$text, again: published" "$(not_published "$plain/v$((count - 1))")"
}

edits() {
    edited "written in the middle" edit at:10K write:1K close
    edited "appended" append write:1K close
    edited "truncate() shorter" cut:10K
    edited "truncate() longer" cut:300K
    edited "truncate() to one byte" cut:1
    edited "ftruncate() shorter" edit truncate:10K close
    edited "ftruncate() longer, written, shorter" edit truncate:900K at:800K write:1K truncate:850K close
    edited "fallocate()" edit allocate:300K close
    under cp "$work/b" "$mnt/source"
    cp "$work/b" "$plain/source"
    edited "copy_file_range into it" edit at:5K "copy:source" close
    published "copy_file_range into a new file" create "copy:source" close
    published "O_APPEND on the own new file" create write:10K append write:10K close
    published "ftruncate on a new file" create write:100K truncate:50K close
    published "truncate() of an open draft" create write:100K cut:50K close
    fresh_name
    put_old
    save edit at:10K write:1K kill:9
    report "written in the middle and killed: kept" "$(not_kept "${unseen-writer-killed writer killed by signal 9}" old)"
    kept_rows=$((kept_rows + 1))
}

exclusive() {
    fresh_name
    held_in_background excl write:100K "hold:$hold" close
    check "O_EXCL: being written" wait_until 10 state_is "draft writing draft-in-progress"
    save excl write:50K close
    "$writer" "$plain/$name" create write:50K close
    equal "O_EXCL: a second writer can make its own" "$said" ""
    go_on
    check "O_EXCL: the slower one is kept" state_like "image sealed intact"$'\n'"draft interrupted name-taken *"
    equal "O_EXCL: and close() says so" "$said" "close: EEXIST"
    check "O_EXCL: the faster one is public" whole_as "$plain/$name"
    kept_rows=$((kept_rows + 1))
    save excl
    equal "O_EXCL on an image" "$said" "excl: EEXIST"
    fresh_name
    save excl write:1K fork [ excl ] join close
    equal "O_EXCL on the family's own draft" "$said" "excl: EEXIST"
}

# While somebody saves a name, with $steps, another one makes it an image. rival TEXT STEP...: his steps.
rival() {
    local text=$1
    shift
    fresh_name
    put_old
    held_in_background "${steps[@]}" "hold:$hold" close
    check "$text: being written" wait_until 10 state_like "*draft writing draft-in-progress*"
    cp "$old" "$plain/$name"
    save "$@"
    "$writer" "$plain/$name" "$@"
    report "$text: the first is published" "$(whole_as "$plain/$name" || echo "another content")$(said_problem "")"
    go_on
}
loses() { # TEXT STEP...
    rival "$@"
    check "$1: the second is kept" state_like "image sealed intact"$'\n'"draft interrupted name-taken it began as a copy of an older version"
    equal "$1: and close() says so" "$said" "close: EEXIST"
    check "$1: the first is public" whole_as "$plain/$name"
    kept_rows=$((kept_rows + 1))
}
wins() { # TEXT STEP...
    rival "$@"
    cp "$old" "$plain/$name"
    "$writer" "$plain/$name" "${steps[@]}" close
    report "$1: the second is published" "$(not_published "$plain/$name")$(said_problem "")"
}

rivals() {
    local steps=(edit at:10K write:1K)
    loses "an edit, and a new version meanwhile" create write:50K close
    loses "an edit, and another edit meanwhile" edit at:20K write:1K close
    steps=(append write:1K)
    loses "an append, and another one meanwhile" append write:2K close
    local old=$work/nothing
    : >"$old"
    loses "an append to an empty image, and another one meanwhile" append write:2K close
    old=$work/old
    steps=(edit at:10K write:1K create write:9K)
    wins "an edit, then cut to nothing, and a new version meanwhile" create write:50K close
    steps=(create write:9K)
    wins "a new version, and an edit meanwhile" edit at:20K write:1K close
    steps=(edit at:10K write:1K)
    fresh_name
    put_old
    held_in_background "${steps[@]}" "hold:$hold" close
    check "an edit of what is deleted meanwhile: being written" wait_until 10 state_like "*draft writing draft-in-progress*"
    rm "$mnt/$name"
    go_on
    cp "$old" "$plain/$name"
    "$writer" "$plain/$name" "${steps[@]}" close
    report "an edit of what is deleted meanwhile: published" "$(not_published "$plain/$name")$(said_problem "")"
}

own_names() {
    local first
    fresh_name
    first=$name
    put_old
    fresh_name
    put_old
    cp "$old" "$plain/$first"
    "$writer" "$plain/$first" edit at:10K write:1K close
    said=$(under "$writer" "$mnt/$name" edit at:10K write:1K "rename:$first" close)
    name=$first
    report "an edit that is renamed over another image: published" "$(not_published "$plain/$first")$(said_problem "")"
    fresh_name
    save create write:100K unlink close size
    equal "unlink of the own draft: no such file" "$said" "size: ENOENT"
    equal "and nothing is left" "$(state)" ""
    put_old
    save create write:10K size unlink size write:10K close
    equal "unlink of the own draft: the old version shows" "$said" "size 10240 size $(stat -c %s "$old")"
    report "and stays" "$(not_published "$old")"

    fresh_name
    first=$name
    put_old
    fresh_name
    "$writer" "$plain/$name" create write:100K close
    said=$(under "$writer" "$mnt/$first" create write:60K "rename:$name" write:40K close)
    report "rename of the own draft: published under the new name" "$(not_published "$plain/$name")$(said_problem "")"
    name=$first
    report "and the old version keeps its name" "$(not_published "$old")"
    fresh_name
    put_old
    first=$name
    fresh_name
    said=$(under "$writer" "$mnt/$name" create write:100K close "rename:$first")
    "$writer" "$plain/$first" create write:100K close
    name=$first
    report "saved, then renamed over an old version: published" "$(not_published "$plain/$first")$(said_problem "")"
}

limits() {
    kept "over RLIMIT_FSIZE" "writer-killed writer killed by signal 25" "" limit:64K create write:128K close
    kept "over RLIMIT_FSIZE without the signal" "write-failed write failed: EFBIG at offset 65536" "write: EFBIG close: EFBIG" \
        ignorexfsz limit:64K create write:128K close
    published "below RLIMIT_FSIZE" limit:64K create write:60K close
}

# --- process namespaces ---

in_namespace() { under unshare -p -f "$writer" "$mnt/$name" "$@"; }

namespaces() {
    fresh_name
    in_namespace create write:100K close
    "$writer" "$plain/$name" create write:100K close
    report "a writer in a pid namespace below ours: published" "$(not_published "$plain/$name")"
    fresh_name
    in_namespace create write:100K kill:9
    report "the same, killed: kept" "$(not_kept "${unseen-writer-killed writer killed by signal 9}" free)"
    kept_rows=$((kept_rows + 1))
}

# The daemon can not see who writes, nor whether he was killed; a copy of a complete image says that it is complete all the same.
foreign_writer() {
    stop_daemon
    SAVESEALFS_RUN="${SAVESEALFS_RUN:-} unshare -p -f --kill-child" serve
    listing=$back overs=free # cp is such a foreigner too
    kept "a writer of a foreign pid namespace" "writer-vanished how the writer ended could not be seen" "close: EIO" create write:100K close
    kept "the same, killed" "writer-vanished how the writer ended could not be seen" "" create write:100K kill:9
    kept "the same with a complete mark" "writer-vanished how the writer ended could not be seen" "close: EIO" create save:4K at:92 write:100K close
    listing=$mnt overs="free old"
    check "unmounting ends the daemon" stop_daemon
    serve
}

# Where nobody may replace another's file, a draft that began before the other's image came does not do it either.
sticky() {
    local as=(setpriv --clear-groups --regid 65534 --reuid)
    fresh_name
    mkdir -m 1777 "$mnt/sticky"
    chmod 711 "$work"
    touch "$hold"
    under "${as[@]}" 65534 "$writer" "$mnt/sticky/$name" create write:100K "hold:$hold" close >"$work/said" &
    held=$!
    listing=$mnt/sticky
    check "sticky directory: being written" wait_until 10 state_is "draft writing draft-in-progress"
    equal "sticky directory: another user's save" "$(under "${as[@]}" 1 "$writer" "$mnt/sticky/$name" create write:50K close)" ""
    go_on
    equal "sticky directory: the slower one's close() says so" "$said" "close: EPERM"
    check "sticky directory: the faster one stays" state_like "image sealed intact"$'\n'"draft interrupted publish-failed *"
    equal "sticky directory: and is its owner's" "$(stat -c %u "$mnt/sticky/$name")" 1
    "$SAVESEAL" discard --force "$back"/sticky/.saveseal.* >/dev/null
    listing=$mnt
}

# --- the store fails ---

# A tmpfs in which $ballast takes all but a little room.
small_store() {
    stop_daemon
    mount -t tmpfs -o size=64M none "$back"
    ballast=$back/ballast
    serve
}
leave_room() { # BYTES
    fallocate -l "$(($(stat -f -c '%a * %S' "$back") - $1))" "$ballast"
}

refused() { ! "$@" 2>/dev/null; }

# full TEXT published|PATTERN SAID STEP...: in a store that has room for 400 KiB.
full() {
    local text=$1 want=${differs[$1]-$2} wanted=$3 over
    shift 3
    [ -z "${differs[$text]-}" ] || wanted="*"
    for over in free old; do
        fresh_name
        rm -f "$ballast"
        [ "$over" = free ] || put_old
        leave_room 400*1024
        save "$@"
        if [[ $want == state:* ]]; then
            check "$text ($over name): ${want#state:}" state_like "${want#state:}"
        elif [ "$want" = published ]; then
            "$writer" "$plain/$name" "$@" >/dev/null
            report "$text ($over name): published" "$(not_published "$plain/$name")$(said_problem "$wanted")"
        else
            report "$text ($over name): kept" "$(not_kept "$want" "$over")$(said_problem "$wanted")"
        fi
    done
}

no_space() {
    local enospc="write-failed write failed: ENOSPC at offset +([0-9])"
    small_store
    full "disk full, close" "$enospc" "write: ENOSPC close: ENOSPC" create write:800K close
    full "disk full, exit(0)" "$enospc" "write: ENOSPC" create write:800K
    full "disk full, exit(1)" "@($enospc|writer-exited writer exited with status 1)" "write: ENOSPC" create write:800K exit:1
    full "disk full, written over later" published "write: ENOSPC" create write:512K "remove:$ballast" at:0 write:512K close
    full "disk full, truncated to what there is" published "write: ENOSPC" create write:512K truncate:64K at:64K "remove:$ballast" \
        write:448K close
    full "disk full, written over in part" "$enospc" "write: ENOSPC close: ENOSPC" \
        create write:800K "remove:$ballast" at:0 write:4K close
    full "fallocate without room" "write-failed write failed: ENOSPC at offset 0" "allocate: ENOSPC close: ENOSPC" \
        create allocate:800K close
    full "disk full, then saved again by the same process" published "write: ENOSPC close: ENOSPC" \
        create write:512K close "remove:$ballast" create write:512K close
    fresh_name
    rm -f "$ballast"
    put_old
    check "a change that the store does not know fails" refused fallocate -z -l 4096 "$mnt/$name"
    report "and leaves the image as it was, and no copy" "$(not_published "$old")"
    fresh_name
    leave_room 400*1024
    head -c 800K /dev/urandom >"$work/big"
    under cp "$work/big" "$mnt/$name" 2>/dev/null
    equal "cp on a full disk fails" "$?" 1
    report "and its draft is kept" "$(not_kept "${differs[disk full, close]-$enospc}" free)"
    stop_daemon
    umount "$back"
    serve
}

# synced TEXT SAID STEP...
synced() {
    local text=$1 wanted=$2 over
    shift 2
    [ -z "${differs[$text]-}" ] || wanted="*"
    for over in free old; do
        empty_store
        fresh_name
        [ "$over" = free ] || put_old
        use_up_store
        save "$@"
        report "$text ($over name): kept" "$(not_kept "sync-failed fsync failed: *" "$over")$(said_problem "$wanted")"
    done
}

sync_errors() {
    stop_daemon
    if ! thin_store 32; then
        not_ok "no ext4 on a loop device"
        return
    fi
    serve
    synced "write-back fails at close" "close: @(EIO|ENOSPC)" create write:1M close
    synced "write-back fails at exit" "" create write:1M
    synced "fsync fails" "sync: @(EIO|ENOSPC) close: @(EIO|ENOSPC)" create write:1M sync close
    synced "fsync fails, and from then on, though there is room" "sync: @(EIO|ENOSPC) sync: EIO close: @(EIO|ENOSPC)" \
        create write:1M sync "remove:$work/store/ballast" at:0 write:1M sync close
    stop_daemon
    umount "$back" "$work/store"
    serve
}

# --- nothing is lost ---

all_listed() {
    local before
    before=$(entries "$mnt" | grep " draft " | sort)
    equal "every draft that was kept is listed" "$(grep -c " draft interrupted " <<<"$before")" "$kept_rows"
    check "unmounting ends the daemon with status 0" stop_daemon
    serve
    equal "and also after the next start" "$(entries "$mnt" | grep " draft " | sort)" "$before"
    equal "none of them shows" "$(find "$mnt" -name '.saveseal.*' | wc -l)" 0
}

head -c 150K /dev/urandom >"$old"
head -c 70K /dev/urandom >"$work/a"
head -c 90K /dev/urandom >"$work/b"
shopt -s extglob
serve
parts="explicit_closes ends threads children descriptors_sent shells mappings marks waiting_state empty_file \
    unchanged_edit edits exclusive rivals sticky own_names limits namespaces foreign_writer all_listed no_space sync_errors"
for part in $parts; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    [[ " ${not_here-} " != *" $part "* ]] || continue
    $part
done
stop_daemon || not_ok "the daemon did not end with status 0"
exit $failed
