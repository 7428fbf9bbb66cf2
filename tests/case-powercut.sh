#!/bin/bash
# The power fails: the backing store forgets all that was not durable. Saves that were reported as done survive, and each name shows its
# old or its new version, whole.
# shellcheck disable=SC2015,SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

writer=$TEST_BIN_DIR/writer
versions=$work/versions # NAME.K: what version K of NAME looks like
counts=$work/counts     # NAME: how many saves of it were reported as done
savers=
kind=

case_cleanup() {
    if mountpoint -q "$back"; then umount "$back" || umount -l "$back"; fi
}

# --- the store ---

make_store() { # KIND
    kind=$1
    rm -f "$work/disk"
    case $kind in
    ext4)
        truncate -s 256M "$work/disk"
        mkfs.ext4 -q "$work/disk"
        ;;
    xfs)
        truncate -s 320M "$work/disk"
        mkfs.xfs -q "$work/disk"
        ;;
    esac && mount -o loop "$work/disk" "$back"
}

# Power off, and on again. Savers meet errors and end.
cut_power() {
    "$TEST_BIN_DIR/cutpower" "$back"
    [ -z "$daemon" ] || kill_daemon
    # shellcheck disable=SC2086  # several
    [ -z "$savers" ] || wait $savers
    savers=
    wait_until 30 umount "$back" 2>/dev/null # when the worker has ended, too
    wait_until 30 is_off || echo "# somebody else keeps the store mounted: in another mount namespace?"
    mount -o loop "$work/disk" "$back"
}
is_off() { [ -z "$(losetup -j "$work/disk")" ]; }

# A store that forgets nothing would make every check below worthless.
store_forgets() {
    head -c 1M /dev/urandom >"$work/data"
    cp "$work/data" "$back/plain"
    cut_power
    if cmp -s "$work/data" "$back/plain"; then
        not_ok "$kind: a plain write without fsync is lost"
    else
        ok "$kind: a plain write without fsync is lost"
    fi
    cp "$work/data" "$back/plain"
    sync "$back/plain"
    cut_power
    check "$kind: one with fsync is not" cmp -s "$work/data" "$back/plain"
}

# --- what is saved: three names, eight versions of each ---

# save_version NAME PATH N: version N. vm* as libvirt saves, others like cp.
save_version() {
    local k=$(($3 % 8)) said
    case $1 in
    vm*)
        said=$("$writer" "$2" "seed:$k" create part:65536 at:92 write:2M sync close open save:65536 close)
        [ -z "$said" ]
        ;;
    edited)
        said=$("$writer" "$2" "seed:$k" edit write:1M truncate:$((1048576 + k)) close)
        [ -z "$said" ]
        ;;
    *) cat "$versions/$1.$k" >"$2" ;;
    esac 2>/dev/null
}

make_versions() {
    local k
    mkdir "$versions" "$counts"
    for k in 0 1 2 3 4 5 6 7; do
        head -c $((1500000 + k)) /dev/urandom >"$versions/image.$k"
        save_version vm "$versions/vm.$k" "$k"
        : >"$versions/edited.$k"
        save_version edited "$versions/edited.$k" "$k"
    done
}

is_version() { cmp -s "$3" "$versions/$1.$(($2 % 8))"; } # NAME N FILE

# Saves one version after the other until something fails. Stays within the mount: never in the directory below, when that is gone.
save_on() { # NAME
    local n
    n=$(cat "$counts/$1")
    cd "$mnt" || return
    while save_version "$1" "./$1" $((n + 1)); do
        n=$((n + 1))
        echo $n >"$counts/$1"
    done
}

# --- checks ---

sealed_whole() { # NAME N
    [ "$(entry "$mnt" "$1" | head -n 1)" = "image sealed intact" ] && is_version "$1" "$2" "$mnt/$1" &&
        "$SAVESEAL" verify "$mnt/$1" >/dev/null
}

# No draft is lost, none goes on as if nothing had happened, each has a reason.
drafts_listed() {
    local listed
    listed=$(entries "$back" | grep ' draft ')
    [ "$(grep -c . <<<"$listed")" -eq "$(find "$back" -name '.saveseal.*' | wc -l)" ] &&
        ! grep -vE ' draft interrupted (daemon-died|format-incomplete|closed-unpublished)' <<<"$listed" | grep . && closed_ones_whole
}

# A draft that is said to be whole but for its name is.
closed_ones_whole() {
    local draft name k
    for draft in "$back"/.saveseal.*; do
        [ -e "$draft" ] && grep -q closed-unpublished <(getfattr --absolute-names --only-values -n user.saveseal.draft "$draft") || continue
        name=$(getfattr --absolute-names --only-values -n user.saveseal.draft "$draft" | sed -n 's/.*target=\([^ ]*\).*/\1/p')
        for k in 0 1 2 3 4 5 6 7; do
            if is_version "$name" $k "$draft"; then continue 2; fi
        done
        echo "# a draft of $name is not whole"
        return 1
    done
}

discard_drafts() {
    find "$back" -name '.saveseal.*' -exec "$SAVESEAL" discard --force {} + >/dev/null
}

reported_saves() {
    local i
    start_daemon
    save_version image "$mnt/image" 1
    stat "$mnt/image" >/dev/null
    sleep 0.3 # the rename reaches the disk after close()
    cut_power
    start_daemon
    check "$kind: a save that was done survives" sealed_whole image 1
    cp "$versions/edited.1" "$mnt/edited"
    save_version edited "$mnt/edited" 2
    sleep 0.3
    cut_power
    start_daemon
    check "$kind: an edit that was done survives" sealed_whole edited 2
    local lost=0
    for ((i = 1; i <= $(rounds 10); i++)); do
        save_version vm "$mnt/vm" $i
        cut_power
        start_daemon
        sealed_whole vm $i || lost=$((lost + 1))
        drafts_listed || lost=$((lost + 1))
    done
    equal "$kind: a libvirt save survives a cut right after its last close()" $lost 0
}

# Which of the versions that it may be FILE is; prints nothing if none. The last one that was done may not have its name yet, but
# the one before must; where the format marks the end, the last one must too.
version_of() { # NAME FILE
    local saved oldest n
    saved=$(cat "$counts/$1")
    oldest=$((saved - 1))
    [ "$1" != vm ] || oldest=$saved
    for ((n = saved + 1; n >= oldest; n--)); do
        if is_version "$1" $n "$2"; then
            echo $n
            return
        fi
    done
}

judge_names() {
    local name n
    for name in image edited vm; do
        n=$(version_of $name "$mnt/$name")
        if [ -z "$n" ]; then
            bad=$((bad + 1))
            echo "# $name is none of the versions that it may be"
            n=$(cat "$counts/$name")
        fi
        echo "$n" | tee "$counts/$name" >"$counts/$name.begun"
        sealed_whole $name "$n" || bad=$((bad + 1))
    done
    drafts_listed || bad=$((bad + 1))
}

# Prints how many saves were reported as done in this round.
done_this_round() {
    local name sum=0 now
    for name in image edited vm; do
        now=$(cat "$counts/$name")
        # Empty while its saver replaces it.
        [ -z "$now" ] || sum=$((sum + now - $(cat "$counts/$name.begun")))
    done
    echo $sum
}
one_was_done() { [ "$(done_this_round)" -gt 0 ]; }

# The moment is random from when the savers have got going: under a sanitizer that takes longer than the moment's whole range.
random_cuts() {
    local i bad=0 total=0 name
    for name in image edited vm; do
        cp "$versions/$name.0" "$mnt/$name"
        echo 0 | tee "$counts/$name" >"$counts/$name.begun"
    done
    sleep 0.3
    for ((i = 0; i < $(rounds 10); i++)); do
        for name in image edited vm; do
            save_on $name &
            savers+=" $!"
        done
        wait_until 60 one_was_done || echo "# round $i: no save was done in a minute"
        sleep "$(printf '0.%03d' $((RANDOM % 500)))"
        cut_power
        total=$((total + $(done_this_round)))
        start_daemon
        judge_names
        discard_drafts
    done
    echo "# $kind: $total saves in $(rounds 10) rounds"
    equal "$kind: cut at random moments, every name is whole, every draft is listed" $bad 0
    check "$kind: there were saves" test $total -gt 0
}

make_versions
for store in ext4 xfs; do
    if ! command -v mkfs.$store >/dev/null && [ "${SAVESEAL_MUST_RUN:-0}" != 1 ]; then
        echo "# no mkfs.$store"
        continue
    elif ! make_store $store; then
        not_ok "$store on a loop device"
        continue
    fi
    store_forgets
    reported_saves
    random_cuts
    check "$kind: unmounting ends the daemon with status 0" stop_daemon
    umount "$back"
done
exit $failed
