#!/bin/bash
# Workers that are killed, replaced and stopped at random moments: nobody sees an error, a wrong byte or a wrong name. And
# keepers that are killed, after which nothing works and all can be mounted again.
#
#   KILLS  in each part, default 12     SIZE  of the big save, in MiB, default 512     UPGRADES  default 50
# Arguments: the parts to run.
# shellcheck disable=SC2016,SC2086,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/same.sh
. "$(dirname "$0")/lib/same.sh"
# shellcheck source=tests/lib/restart.sh
. "$(dirname "$0")/lib/restart.sh"

kills=$(rounds ${KILLS:-12})
[ "$kills" -ge 3 ] || kills=3
size=$(rounds ${SIZE:-512})
[ "$size" -ge 32 ] || size=32
upgrades=$(rounds ${UPGRADES:-50})

# --- 1: workers are killed ---------------------------------------------------------------------------------------------

# What a caller sees without any kill.
undisturbed() {
    begin
    grow one two
    begin_kills 0 5
    end_kills "trees, nobody is killed"
    reap "trees, nobody is killed" one two
    end "trees, nobody is killed"
}

big_save() {
    local saves=0 errors=0 differ=0
    openssl enc -aes-128-ctr -pass pass:saveseal -nosalt </dev/zero 2>/dev/null | head -c ${size}M >"$work/source"
    begin
    begin_kills 9 $kills
    while killing || [ $saves -eq 0 ]; do
        dd if="$work/source" of="$mnt/big" bs=1M status=none || errors=$((errors + 1))
        saves=$((saves + 1))
        cmp "$work/source" "$mnt/big" || differ=$((differ + 1))
    done
    end_kills "$saves saves of $size MiB"
    equal "saves of $size MiB: no error" $errors 0
    equal "saves of $size MiB: every byte is right" $differ 0
    equal_restarts "saves of $size MiB"
    check "and in the directory behind it" cmp "$work/source" "$back/big"
    rm "$work/source"
    end "saves of $size MiB"
}

# Killed so fast that the kernel is often about to hand a request over.
fast_kills() {
    local name errors
    begin
    begin_kills 9 $((kills * 4)) 25 100
    load=()
    for name in one two three; do
        (while killing; do dd if=/dev/zero of="$mnt/$name" bs=1M count=$((size / 16)) status=none; done) 2>>"$work/raced.err" &
        load+=($!)
    done
    wait "${load[@]}"
    load=()
    end_kills "fast kills"
    errors=$(head -c 500 "$work/raced.err")
    equal "fast kills: no error" "$errors" ""
    end "fast kills"
}

overwrite() {
    local errors=0 saves=0 looker version
    begin
    head -c 40000000 /dev/urandom >"$work/old"
    head -c 45000000 /dev/urandom >"$work/new"
    cp "$work/old" "$mnt/image"
    load=()
    check "a reader has the old version open" hold reader "$mnt/image" "$work/old"
    looker=$held
    hold looker "$mnt/image" "$work/old" "$work/new"
    begin_kills 9 $kills
    while killing || [ $saves -lt 2 ]; do
        for version in new old; do
            cat "$work/$version" >"$mnt/image" || errors=$((errors + 1))
            cmp "$work/$version" "$mnt/image" || errors=$((errors + 1))
            saves=$((saves + 1))
        done
    done
    end_kills "$saves overwritings"
    equal "overwritings: no error, and each is there when it was closed" $errors 0
    let_go "who opens again sees an old or a new version, whole" looker
    held=$looker
    let_go "who has the old version open reads all of it" reader
    end "overwritings"
}

# The races of case-race.sh, with kills.
races() {
    local mode
    begin
    for mode in create overwrite siblings; do
        begin_kills 9 $kills
        while killing; do
            "$TEST_BIN_DIR/race" $mode "$mnt/$mode" 20 >>"$work/raced" 2>>"$work/raced.err" || echo "$mode failed" >>"$work/raced.err"
        done
        end_kills "race $mode"
        equal "race $mode: all as without kills" "$(head -c 500 "$work/raced.err")" ""
        : >"$work/raced.err"
    done
    end races
}

trees() {
    begin
    grow one two three
    begin_kills 9 $((kills * 2))
    end_kills trees
    equal_restarts trees
    reap trees one two three
    end trees
}

# --- 2: another program ------------------------------------------------------------------------------------------------

upgrade() { "$bin/daemon" --upgrade "$@" >"$work/said" 2>&1; }

upgraded() { # COUNT: as many are counted
    [ "$(told upgrades)" = "$1" ]
}

# What goes through a descriptor is in order, but ThreadSanitizer knows that only of those that it saw being opened: that of
# /dev/fuse is not after an upgrade.
tsan_blind=${TSAN_OPTIONS:-}:report_bugs=0

upgrading() {
    local i errors=0
    local -x TSAN_OPTIONS=$tsan_blind
    begin
    grow one two
    head -c 20000000 /dev/urandom >"$work/source"
    begin_kills 0 1 100 100
    for ((i = 0; i < upgrades; i++)); do
        upgrade "$mnt" || errors=$((errors + 1))
        if ! killing; then
            end_kills "upgrade" >/dev/null
            begin_kills 0 1000 2 2
        fi
        { cat "$work/source" >"$mnt/saved" && cmp "$work/source" "$mnt/saved"; } || errors=$((errors + 1))
    done
    kill -TERM "$killer"
    wait "$killer" 2>/dev/null
    equal "--upgrade under load: no error" $errors 0
    check "and as many are counted" upgraded $upgrades
    # A second SIGHUP while the first is still at work adds nothing.
    for ((i = 1; i <= upgrades; i++)); do
        kill -HUP "$daemon"
        wait_until 30 upgraded $((upgrades + i)) || errors=$((errors + 1))
    done
    equal "SIGHUP: each is counted" $errors 0
    begin_kills 1 $kills 20 200
    end_kills "SIGHUP at any time"
    equal "upgrades are no restarts" "$(told restarts)" 0
    begin_kills 9 $kills
    while killing; do
        upgrade "$mnt" || { cat "$work/said"; errors=$((errors + 1)); }
    done
    end_kills "upgrades and kills together"
    equal "upgrades and kills together: each upgrade is made" $errors 0
    reap "upgrades" one two
    refuse "--upgrade of a directory that is no mount" "$work/bin" "is no mount of savesealfs"
    refuse "--upgrade of what is not there" "$work/nowhere" "No such file"
    end upgrades
}

refuse() { # TEXT MOUNT WORDS
    upgrade "$2"
    equal "$1: status" $? 1
    check "$1: says so" grep -qF "$3" "$work/said"
}

# The program that is run is a copy, which is replaced.
incompatible() {
    local program=$work/program pid kind
    local -x TSAN_OPTIONS=$tsan_blind
    cp "$bin/daemon" "$program"
    SAVESEALFS=$program begin
    grow one
    for kind in no garbage unexecutable missing hanging; do
        rm -f "$program"
        pid=$(worker)
        case $kind in
        no) printf '#!/bin/sh\nexit 1\n' >"$program" ;;
        garbage) head -c 10000 /dev/urandom >"$program" ;;
        unexecutable) cp "$bin/daemon" "$program" ;;
        hanging) printf '#!/bin/sh\nexec sleep 1000\n' >"$program" ;;
        esac
        [ $kind = missing ] || chmod 755 "$program"
        [ $kind = unexecutable ] && chmod 644 "$program"
        refuse "a program that can not go on ($kind)" "$mnt" "can not go on"
        equal "$kind: the old worker serves on" "$(worker)" "$pid"
        check "$kind: and works" usable
        equal "$kind: and nobody else is left" "$(pgrep -P "$daemon")" "$pid"
    done
    begin_kills 9 3
    end_kills "and is replaced when it is killed"
    cp "$bin/daemon" "$work/next"
    mv "$work/next" "$program"
    check "a program that can go on" upgrade "$mnt"
    equal "is what the keeper runs" "$(stat -L -c %i "/proc/$daemon/exe")" "$(stat -c %i "$program")"
    equal "is what the worker runs" "$(stat -L -c %i "/proc/$(worker)/exe")" "$(stat -c %i "$program")"
    equal "only that one is counted" "$(told upgrades)" 1
    reap "replaced programs" one
    end "replaced programs"
    rm "$program"
}

# --- 3: kernels that send nothing again --------------------------------------------------------------------------------

none_in_progress() { ! entries "$mnt" | grep -q ' draft-in-progress'; }

no_resend() {
    local closing told errors longest drafts listed
    begin -o noresend
    # In hand for certain: the close of something big, a seventh of which is done when the worker is killed.
    hold slow_close "$mnt/slow" 500 "$(worker)"
    wait "$held"
    closing=$(tail -n 1 "$work/held.slow_close")
    echo "# close() of a save in hand: $closing"
    equal "close() in hand fails" "${closing% *}" EIO
    check "within a second" awk -v s="${closing#* }" "BEGIN {exit !(s < $SLOW)}"
    equal "nothing is published" "$(ls "$mnt/slow" 2>/dev/null)" ""
    equal "the draft is kept" "$(entry "$mnt" slow | cut -d' ' -f1,2)" "draft interrupted"
    echo "# $(entry "$mnt" slow)"

    load=()
    for name in a b c; do
        (held images "$mnt" 524288 $(seq -f $name.%g 1 2 $((kills * 20))))
    done
    "$TEST_BIN_DIR/killer" "$daemon" $((kills * 3)) 50 300 9 "$mnt/probe" >"$work/killed" 2>"$work/complaints" &
    killer=$!
    for name in a b c; do
        held lossy "$mnt" $name $((kills * 20)) >"$work/lossy.$name" 2>&1 &
        load+=($!)
    done
    wait "$killer"
    kill -TERM "${load[@]}" 2>/dev/null
    for name in "${load[@]}"; do
        wait "$name"
        equal "a writer meets no other error than EIO" $? 0
    done
    load=()
    echo "# noresend: $(<"$work/killed")"
    for name in a b c; do
        echo "# $(tail -n 1 "$work/lossy.$name")"
        check "what is public is what the writer was told" held_judge "$work/lossy.$name"
    done
    told=$(cat "$work"/lossy.? | grep -c ' draft$')
    errors=$(sed -n 's/^errors \([0-9]*\) .*/\1/p' "$work"/lossy.? | awk '{n += $1} END {print n}')
    longest=$(sed -n 's/.* longest //p' "$work"/lossy.? | sort -n | tail -n 1)
    check "some writers met an error ($errors)" test "$errors" -gt 0
    check "none waited longer than a second for it ($longest)" awk -v s="$longest" "BEGIN {exit !(s < $SLOW)}"
    check "the savers' last files are let go" wait_until 10 none_in_progress # they were ended while they wrote
    entries "$mnt" >"$work/entries"
    listed=$(sort -u <(cat "$work"/lossy.? | sed -n 's/^name \(.*\) [a-z]* draft$/\1/p') |
        while read -r name; do grep -q "^$name draft interrupted" "$work/entries" || echo "$name"; done)
    equal "each of $told saves that met an error is kept as an interrupted draft" "$listed" ""
    drafts=$(find "$back" -name '.saveseal.*' | wc -l)
    equal "every draft is listed" "$(grep -c ' draft interrupted ' "$work/entries")" "$drafts"
    echo "# noresend: $(awk '/ draft / {print $4}' "$work/entries" | sort | uniq -c | tr -s ' \n' ' ')"
    check "the daemon works on" usable
    find "$back" -name '.saveseal.*' -exec "$SAVESEAL" discard --force {} + >/dev/null
    end noresend
}
held_judge() { (held judge "$mnt" "$1") >"$work/judged" || { cat "$work/judged"; false; }; }
SLOW=$([ "${ROUNDS_PERCENT:-100}" -lt 50 ] && echo 10 || echo 1) # seconds; a slow build takes longer

# --- 4: the keeper is killed -------------------------------------------------------------------------------------------

# die NAME: a draft of that name is being written when the keeper dies. $daemon: the keeper.
die() {
    local name=$1 worker writer
    worker=$(worker)
    mkfifo "$work/hold"
    cat "$work/hold" >"$mnt/$name" 2>/dev/null &
    writer=$!
    exec 7>"$work/hold"
    seq 50000 >&7
    wait_until 10 is_live "$name"
    kill -KILL "$daemon"
    check "$name: the worker ends with its keeper" wait_until 10 gone "$worker"
    check "$name: the mount says so" wait_until 10 refuses
    "$SAVESEAL" status "$mnt" >"$work/status" 2>&1
    check "$name: and saveseal what to do" test "$? $(grep -c "mount it again" "$work/status")" = "3 1"
    exec 7>&-
    wait $writer
    check "$name: the writer meets an error" test $? -ne 0
    rm "$work/hold"
}
is_live() { [ "$(entry "$mnt" "$1" 2>/dev/null)" = "draft writing draft-in-progress" ]; }
refuses() { [[ $(LC_ALL=C stat "$mnt" 2>&1) == *"Transport endpoint is not connected"* ]]; }

died() { # NAME: what the next start makes of it
    check "$1: the dead mount is replaced" works
    equal "$1: its draft is kept" "$(entry "$mnt" "$1" | sed 's/ daemon-died.*/ daemon-died/')" "draft interrupted daemon-died"
    check "$1: the new mount works" usable
    equal "$1: and it is the only one" "$(grep -c " $mnt .* - fuse" /proc/self/mountinfo)" 1
}

keeper_of() { getfattr --absolute-names --only-values -n user.saveseal.daemon "$1" | sed -n 's/.* pid=\([0-9]*\) .*/\1/p'; }

dead_keeper() {
    local beside=$mnt
    begin
    die foreground
    wait "$daemon" 2>/dev/null
    start_daemon
    wait_until 10 works
    died foreground
    check "and ends" stop_daemon

    launch "$bin/daemon" "$back" "$mnt"
    daemon=$(keeper_of "$mnt")
    die background
    check "no process is left" has_ended
    daemon=
    launch "$bin/daemon" "$back" "$mnt"
    equal "the command succeeds" $? 0
    check "and says what it does" grep -q "replacing a mount whose savesealfs was killed" "$work/said"
    died background
    umount "$mnt"
    has_ended

    mnt=$back
    launch "$bin/daemon" "$back" "$mnt"
    daemon=$(keeper_of "$mnt")
    die itself
    check "no process is left" has_ended
    daemon=
    launch "$bin/daemon" "$back" "$mnt"
    equal "over its own backing directory: the command succeeds" $? 0
    died itself
    umount "$mnt"
    check "and ends" has_ended
    mnt=$beside
    find "$back" -mindepth 1 -delete
}

# What another program has left dead is not ours to take away.
dead_other() {
    exec 8<>/dev/fuse
    mount -i -t fuse.other -o fd=8,rootmode=40000,user_id=0,group_id=0,allow_other other "$mnt"
    exec 8>&-
    check "a dead mount of another program" refuses
    launch "$bin/daemon" "$back" "$mnt"
    check "is refused" test $? -ne 0
    check "with its reason" grep -q "Transport endpoint" "$work/said"
    equal "and stays" "$(grep -c " $mnt .* - fuse.other " /proc/self/mountinfo)" 1
    check "no process is left" has_ended
    umount -l "$mnt"
}

# In a mount namespace of its own, where all may use /dev/fuse.
unprivileged() {
    local private=$work/private nobody="setpriv --reuid 65534 --regid 65534 --clear-groups --"
    mkdir "$private"
    mount -t tmpfs none "$private"
    mknod -m 666 "$private/fuse" c 10 229
    mount --bind "$private/fuse" /dev/fuse
    chown 65534:65534 "$back" "$mnt"
    : >"$work/alive"
    launch $nobody "$bin/savesealfs" "$back" "$mnt"
    equal "a user mounts" "$? $(<"$work/said")" "0 "
    as_nobody bash -c "seq 5000 >'$mnt/image'"
    daemon=$(as_nobody getfattr --absolute-names --only-values -n user.saveseal.daemon "$mnt" | sed -n 's/.* pid=\([0-9]*\) .*/\1/p')
    kill -KILL "$(worker)"
    check "his worker is replaced" as_nobody bash -c "cmp -s '$mnt/image' <(seq 5000)"
    as_nobody bash -c "exec >'$mnt/draft'; echo draft; kill -KILL $daemon; sleep 0.1" 2>/dev/null
    check "his keeper dies, and no process is left" has_ended
    daemon=
    check "the mount says so" as_nobody_refused
    launch $nobody "$bin/savesealfs" "$back" "$mnt"
    equal "he mounts again" $? 0
    check "as the dead mount is replaced" grep -q "replacing a mount" "$work/said"
    check "it works" as_nobody bash -c "cmp -s '$mnt/image' <(seq 5000)"
    equal "and lists the draft" "$(as_nobody "$bin/saveseal" status "$mnt" | grep -c "draft .*daemon-died")" 1
    equal "and is the only one" "$(grep -c " $mnt .* - fuse" /proc/self/mountinfo)" 1
    check "fusermount3 -u" as_nobody fusermount3 -u "$mnt"
    check "ends it" has_ended
}
as_nobody_refused() { [[ $(as_nobody stat "$mnt" 2>&1) == *"not connected"* ]]; }

# --- 5: workers that can not live --------------------------------------------------------------------------------------

crash_loop() {
    local status caller
    local -x ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 # it makes a child of its own, which would be killed, too
    begin
    (while stat "$mnt/probe" >/dev/null 2>&1; do :; done) &
    caller=$!
    load=("$caller")
    "$TEST_BIN_DIR/killer" "$daemon" 0 0 0 11 "$mnt/probe" >"$work/killed" &
    killer=$!
    check "workers that are killed as fast as they come: it gives up" wait_until 60 gone "$daemon"
    [ $failed = 0 ] || kill -KILL "$daemon" 2>/dev/null
    wait "$daemon"
    status=$?
    daemon=
    wait "$killer"
    killer=
    echo "# crash loop: $(<"$work/killed")"
    check "with a status other than 0 ($status)" test $status -ne 0 -a $status -lt 128
    check "it says so" grep -q "giving up" "$log"
    check "nothing is mounted" not_mounted
    check "callers end" wait_until 10 gone "$caller"
    wait "$caller" 2>/dev/null
    load=()
}

# --- 6: what is open stays open ----------------------------------------------------------------------------------------

open_files() {
    local looks=0 odd=0 draft
    begin
    mkdir "$mnt/held"
    load=()
    (held images "$mnt/held" 1048576 kept removed flocked locked)
    check "all kinds of open files" hold everything "$mnt/held"
    begin_kills 9 $((kills * 2))
    while killing; do
        looks=$((looks + 1))
        [ "$(entry "$back/held" growing)" = "draft writing draft-in-progress" ] || odd=$((odd + 1))
        draft=$(find "$back/held" -name '.saveseal.*' -size -64k | head -n 1)
        if "$TEST_BIN_DIR/lockdraft" "$draft" </dev/null >/dev/null 2>&1; then odd=$((odd + 1)); fi
    done
    end_kills "all kinds of open files"
    check "there were looks" test $looks -gt 0
    equal "the draft is locked and listed as being written, all the time ($looks looks)" $odd 0
    let_go "open files, streams, locks and mappings go on" everything
    end "open files"
}

# --- 7: nothing is left over -------------------------------------------------------------------------------------------

descriptors() { find "/proc/$daemon/fd" -mindepth 1 | wc -l; }
few_more() { echo 2 >/proc/sys/vm/drop_caches; [ "$(descriptors)" -le $(($1 + 16)) ]; } # THAN
free_kib() { df --output=avail -k "$back" | tail -n 1; }
as_free() { echo 2 >/proc/sys/vm/drop_caches; [ "$(free_kib)" -ge $(($1 - 256)) ]; } # THAN

no_leaks() {
    local fds free i errors=0 status
    mount -t tmpfs -o size=200M none "$back"
    begin
    usable
    stat "$mnt/probe" >/dev/null
    fds=$(descriptors) free=$(free_kib)
    grow one two
    begin_kills 9 $((kills * 3)) 50 300
    while killing; do
        head -c 20M /dev/zero >"$mnt/passing" && head -c 10M /dev/zero >"$mnt/passing" && rm "$mnt/passing" || errors=$((errors + 1))
        (exec 6<"$mnt/probe" && cp "$mnt/probe" "$mnt/copy" && mv "$mnt/copy" "$mnt/copy2" && exec 6<"$mnt/copy2" && rm "$mnt/copy2") || errors=$((errors + 1))
    done
    end_kills "files that come and go"
    equal "files that come and go: no error" $errors 0
    reap "files that come and go" one two
    find "$mnt" -mindepth 1 ! -name probe -delete
    check "no more descriptors than before ($fds) and 16" wait_until 20 few_more $fds
    echo "# descriptors: $fds before, $(descriptors) after; free: $free KiB before, $(free_kib) KiB after"
    check "the space of what was removed is free again" wait_until 20 as_free $free
    kill -TERM "$daemon"
    wait "$daemon"
    status=$?
    daemon=
    equal "SIGTERM ends it with status 0" $status 0
    check "and nothing is mounted" not_mounted
    umount "$back"
}

# --- 8: how much memory ------------------------------------------------------------------------------------------------

memory() { # TEXT
    local pid
    for pid in $daemon $(worker); do
        echo "# memory, $1, $([ $pid = $daemon ] && echo keeper || echo worker): $(awk '/^(Rss|Pss|Private_Dirty):/ {printf "%s %d KiB  ", $1, $2}' /proc/$pid/smaps_rollup)"
    done
}

sizes() {
    local nodes drafts
    nodes=$(rounds 10000) drafts=$(rounds 1000)
    begin
    memory "nothing known"
    mkdir "$mnt/many"
    (cd "$back/many" && seq $nodes | sed 's/^/file/' | xargs touch)
    ls -l "$mnt/many" >/dev/null
    memory "$nodes files known"
    load=()
    check "$drafts drafts are open" hold many "$mnt" $drafts
    memory "and $drafts drafts open"
    begin_kills 9 4 300 500
    end_kills "$nodes files known, $drafts drafts open"
    memory "and the worker was killed"
    let_go "the drafts are published" many
    equal "each" "$(find "$back" -maxdepth 1 -name 'draft.*' | wc -l)" $drafts
    end "many files"
}

# --- virsh -------------------------------------------------------------------------------------------------------------

# In namespaces of its own, see lib/libvirt.sh.
virsh_part() {
    local saves=0
    # shellcheck source=tests/lib/libvirt.sh
    . "$(dirname "$0")/lib/libvirt.sh"
    check "a private libvirt" vm_host_start "$work/host"
    vm_make_content "$work/host/ram/kept"
    vm_make_content "$work/host/ram/other"
    begin
    check "libvirtd starts" vm_libvirtd_start
    check "a guest" eval 'vm_define vm1 && vm_load vm1 "$work/host/ram/kept" && vm start vm1 && vm_ram_is vm1 "$work/host/ram/kept"'
    vm_load vm1 "$work/host/ram/other"
    begin_kills 9 $kills
    while killing || [ $saves -eq 0 ]; do
        vm save vm1 "$mnt/image.sav" || not_ok "virsh save"
        vm restore "$mnt/image.sav" || not_ok "virsh restore"
        saves=$((saves + 1))
    done
    end_kills "$saves times virsh save and virsh restore"
    check "the guest runs, with its RAM" vm_ram_is vm1 "$work/host/ram/kept"
    begin_kills 9 $kills
    saves=0
    while killing || [ $saves -eq 0 ]; do
        vm save --bypass-cache vm1 "$mnt/image.sav" || not_ok "virsh save --bypass-cache"
        vm restore --bypass-cache "$mnt/image.sav" || not_ok "virsh restore --bypass-cache"
        saves=$((saves + 1))
    done
    end_kills "$saves times the same with --bypass-cache"
    check "the guest runs, with its RAM" vm_ram_is vm1 "$work/host/ram/kept"
    vm_host_stop
    end virsh
}

with_libvirt() {
    local missing
    # shellcheck source=tests/lib/libvirt.sh
    . "$(dirname "$0")/lib/libvirt.sh"
    missing=$(vm_missing)
    if [ -n "$missing" ]; then
        [ "${SAVESEAL_MUST_RUN:-0}" = 0 ] || not_ok "virsh: $missing"
        echo "# virsh is left out: $missing"
        return
    fi
    vm_namespace 600 "$0" private virsh_part
    equal "virsh" $? 0
}

# A family finds its drafts by their hidden names when it lists them, in whatever directory; the next worker does, too.
listings() {
    begin
    mkdir "$mnt/here" "$mnt/there"
    equal "a program lists the drafts that it has open, before and after a kill" "$("$python" - "$mnt" "$(worker)" <<'END'
import os, signal, sys
mnt, worker = sys.argv[1:]
here, there = mnt + "/here", mnt + "/there"
for i in range(40):
    os.open("%s/%d" % (here, i), os.O_WRONLY | os.O_CREAT)
os.rename(here + "/7", there + "/seven")
os.rename(here + "/8", here + "/eight")
os.unlink(here + "/9")
os.close(os.open(there + "/done", os.O_WRONLY | os.O_CREAT))
wanted = sorted({str(i) for i in range(40)} - {"7", "8", "9"} | {"eight"}), ["done", "seven"]
for what in "before", "after":
    got = sorted(os.listdir(here)), sorted(os.listdir(there))
    if got != wanted:
        print(what, got)
    if what == "before":
        os.kill(int(worker), signal.SIGKILL)
END
)" ""
    rm -r "${mnt:?}"/*/
    end "listings"
}

# --- the case ----------------------------------------------------------------------------------------------------------

watch "${CASE_SECONDS:-1500}"
if [ "${1:-}" = private ]; then
    "$2"
    exit $failed
fi
for part in undisturbed big_save fast_kills overwrite races trees upgrading incompatible no_resend dead_keeper dead_other \
    crash_loop open_files no_leaks sizes listings with_libvirt unprivileged; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    if [ $part = unprivileged ]; then
        unshare -m --propagation private "$(dirname "$0")/lib/alone.sh" "$0" private $part || not_ok "$part"
    else
        run_part $part
    fi
done
exit $failed
