#!/bin/bash
# Writers that are killed, daemons that are killed, disks that run full, each at random moments: what is public is always one whole
# version, and what was begun is always listed with its reason.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

versions=$work/versions
copies=$work/copies # what somebody else saw meanwhile
watcher=
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
newest=0   # of the versions: the one that was saved last
public=    # the one that must be public unless the newest is; empty: none
may_lag=   # what was saved may be a draft for now: the daemon was killed
bad=0      # rounds after which something else was public
begun=0    # saves
unpublished=0
completed=0
many=50    # rounds of each part
[ "${BACKEND:-mount}" = mount ] || many=250 # they take less time when no daemon has to be started
RANDOM=1   # the same moments each time, as far as the machine goes along

case_cleanup() {
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
    if mountpoint -q "$back"; then umount "$back"; fi
}

make_versions() {
    local i
    mkdir "$versions"
    for ((i = 0; i < 8; i++)); do
        head -c $((1500000 + i * 100003)) /dev/urandom >"$versions/$i"
    done
}

# Waits up to MS milliseconds.
random_nap() { sleep "$(printf '0.%03d' $((RANDOM % $1)))"; }

# Begins to save the next version of the image in small pieces; sets $saver. From within the mount: never in the directory
# below, when that is gone.
begin_save() { # [HOW]
    newest=$(((newest + 1) % 8))
    begun=$((begun + 1))
    (cd "$mnt" && "${1-careful}" "$versions/$newest") 2>/dev/null &
    saver=$!
}
careful() { exec "${runner[@]}" dd if="$1" of=image bs=16K; }
# Goes on whatever fails, but asks what close() says.
careless() {
    exec "${runner[@]}" "$python" -c 'import os, sys
data = open(sys.argv[1], "rb").read()
fd = os.open("image", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
for at in range(0, len(data), 16384):
    try:
        os.write(fd, data[at:at + 16384])
    except OSError:
        pass
os.close(fd)' "$1"
}

end_save() { # sets $saved
    wait "$saver" 2>/dev/null
    saved=$?
}

# The daemon may end between close() and the rename. A format without a mark of its own does not prove then that this close was the last
# one, so it is not published; but every byte is there, and status says so.
kept_whole() { # FILE
    local draft
    for draft in "$back"/.saveseal.*; do
        if cmp -s "$draft" "$1"; then return 0; fi
    done
    return 1
}

# Whether FILE is the newest version; if it is not, the newest must not have been saved, and FILE must be the one before.
judge() { # FILE
    if cmp -s "$1" "$versions/$newest"; then
        public=$newest
        completed=$((completed + 1))
    elif [ "$saved" -eq 0 ] && [ -n "$may_lag" ] && kept_whole "$versions/$newest"; then
        unpublished=$((unpublished + 1))
    elif [ "$saved" -eq 0 ]; then
        bad=$((bad + 1))
        echo "# round $begun: saved, but it is not public"
    elif [ -z "$public" ]; then
        [ ! -e "$1" ] || bad=$((bad + 1))
    elif ! cmp -s "$1" "$versions/$public"; then
        bad=$((bad + 1))
        echo "# round $begun: neither old nor new is public"
    fi
}

start_watching() { # NAME
    rm -rf "$copies"
    mkdir "$copies"
    "$TEST_BIN_DIR/copier" "$1" "$copies" >"$work/watched" &
    watcher=$!
}

# Every content that was seen is a version. Errors may only be those named.
end_watching() {
    local copy version known odd=0
    kill "$watcher"
    wait "$watcher"
    watcher=
    for copy in "$copies"/copy-*; do
        [ -e "$copy" ] || continue # nothing was seen at all
        known=false
        for version in "$versions"/*; do
            if cmp -s "$copy" "$version"; then known=true; fi
        done
        $known || odd=$((odd + 1))
    done
    equal "$1: all that others saw were whole versions" "$odd" 0
    equal "$1: others met no error" "$(grep -m 1 '^trouble' "$work/watched")" ""
}

# judge_drafts TEXT REASON: all drafts in the backing directory are listed, with that reason.
judge_drafts() {
    local listed reason=${differs[$1]-$2}
    forget_unmade
    listed=$(entries "$back" | grep ' draft ')
    equal "$1: every draft is listed" "$(grep -c . <<<"$listed")" "$(find "$back" -name '.saveseal.*' | wc -l)"
    equal "$1: each for the right reason" "$(grep -vE " draft interrupted $reason" <<<"$listed")" ""
    equal "$1: the mount lists the same" "$(entries "$mnt" | grep ' draft ')" "$listed"
}

judge_part() { # TEXT
    echo "# $1: $begun saves, $completed of them complete, $bad times something else was public"
    equal "$1: always a whole version" "$bad" 0
    check "$1: the images are intact" all_intact
    bad=0 begun=0 completed=0
}

all_intact() { # but the ballast; there may be none
    local images=("$mnt"/[!b]*)
    [ ! -e "${images[0]}" ] || "$SAVESEAL" verify "${images[@]}" >"$work/verified"
}

# Of few saves all may have come to the same.
some_of_each() { # TEXT
    [ "$begun" -lt 30 ] || check "$1: some saves were complete, some were not" test "$completed" -gt 0 -a "$completed" -lt "$begun"
}

discard_drafts() {
    find "$back" -name '.saveseal.*' -exec "$SAVESEAL" discard --force {} + >/dev/null
}

# What is left of a save is a beginning of it, and can be had.
salvage_drafts() { # TEXT
    local draft version known odd=0
    for draft in "$back"/.saveseal.*; do
        [ -e "$draft" ] || continue
        known=false
        "$SAVESEAL" salvage "$draft" "$work/salvaged" >/dev/null
        for version in "$versions"/*; do
            if cmp -s -n "$(stat -c %s "$work/salvaged")" "$work/salvaged" "$version"; then known=true; fi
        done
        $known || odd=$((odd + 1))
        rm -f "$work/salvaged"
    done
    equal "$1: what is left of them are beginnings of versions" "$odd" 0
    equal "$1: and all is salvaged" "$(find "$back" -name '.saveseal.*' | wc -l)" 0
}

# --- the writer is killed ---

killed_writers() {
    local i
    start_watching "$mnt/image"
    for ((i = 0; i < $(rounds "$many"); i++)); do
        begin_save
        random_nap 60
        kill -KILL "$saver" 2>/dev/null
        end_save
        judge "$mnt/image"
    done
    end_watching "killed writers"
    some_of_each "killed writers"
    judge_part "killed writers"
    judge_drafts "killed writers" "writer-killed writer killed by signal 9"
    salvage_drafts "killed writers"
}

# --- the daemon is killed ---

# Its writers' names: one over and over, and one that is new each time.
killed_daemons() {
    local i other may_lag=yes
    for ((i = 0; i < $(rounds "$many"); i++)); do
        (cd "$mnt" && exec cp "$versions/0" "new.$i") &
        other=$!
        begin_save
        random_nap 60
        kill_daemon
        end_save
        judge "$back/image"
        wait "$other"
        judge_other $? "$back/new.$i"
        start_daemon
        judge "$mnt/image"
    done 2>/dev/null
    completed=$((completed / 2))
    some_of_each "killed daemons"
    judge_part "killed daemons"
    judge_drafts "killed daemons" "(daemon-died|closed-unpublished)"
    echo "# killed daemons: $unpublished times the daemon was killed between close() and the rename"
    discard_drafts
}


# judge_other STATUS FILE: there when its writer ended well, and whole if there.
judge_other() {
    if [ "$1" -eq 0 ] || [ -e "$2" ]; then
        cmp -s "$2" "$versions/0" || kept_whole "$versions/0" || bad=$((bad + 1))
    fi
}

# --- the daemon is told to end ---

at_work() { [ "$(readlink "/proc/$saver/cwd")" = "$mnt" ] || ! kill -0 "$saver" 2>/dev/null; }

# It goes when the last writer has: what is being saved is saved.
ended_daemons() {
    local i slow=0
    for ((i = 0; i < $(rounds "$many"); i++)); do
        begin_save
        wait_until 5 at_work # once the mount is detached nobody new gets in
        random_nap 30
        kill -TERM "$daemon"
        end_save
        wait "$daemon" || slow=$((slow + 1))
        daemon=
        judge "$back/image"
        start_daemon
    done
    equal "ended daemons: each ended with status 0" "$slow" 0
    judge_part "ended daemons"
    judge_drafts "ended daemons" "nothing is to be left"
}

# --- the disk is full ---

FULL='write-failed write failed: ENOSPC at offset [0-9]*$'

full_disks() {
    local i room
    stop_daemon
    mount -t tmpfs -o size=16M none "$back"
    start_daemon
    public=
    start_watching "$mnt/image"
    for ((i = 0; i < $(rounds "$many"); i++)); do
        leave_room $((RANDOM * 100))
        begin_save "$([ $((i % 2)) -eq 0 ] && echo careful || echo careless)"
        end_save
        judge "$mnt/image"
        [ $((i % 5)) -ne 4 ] || judge_and_discard
    done 2>/dev/null
    judge_drafts "full disks" "$FULL"
    end_watching "full disks"
    some_of_each "full disks"
    judge_part "full disks"
}

# What is discarded stays in use as long as the daemon has it open: a moment.
judge_and_discard() {
    entries "$back" | grep ' draft ' | grep -vE " draft interrupted ${differs["full disks"]-$FULL}" && bad=$((bad + 1))
    discard_drafts
    rm -f "$back/ballast"
    wait_until 10 has_room
}
has_room() { [ "$(stat -f -c '%a' "$back")" -gt 2700 ]; }

# As much as there is, up to BYTES.
leave_room() {
    local room
    rm -f "$back/ballast"
    room=$(($(stat -f -c '%a * %S' "$back") - $1))
    [ $room -le 0 ] || fallocate -l $room "$back/ballast"
}

daemon_ends() { check "unmounting ends the daemon with status 0" stop_daemon; }

make_versions
start_daemon
killed_writers
here killed_daemons
here ended_daemons
full_disks
here daemon_ends
exit $failed
