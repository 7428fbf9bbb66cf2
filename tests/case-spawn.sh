#!/bin/bash
# The preload library and how programs start others: what posix_spawn opens for a child is protected, and for the program all is as without
# the library.
# shellcheck disable=SC2016,SC2154,SC2317  # commands are for an inner shell; parts are called by name
BACKEND=preload
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

spawner=$TEST_BIN_DIR/spawner
plain=$work/plain

# as_without WHAT...: runs spawner in both directories, and compares what it says.
as_without() {
    mkdir -p "$plain"
    equal "$1: ends as without the library" "$(cd / && under timeout 60 "$spawner" "$1" "$mnt" 2>&1 8>&1; echo $?)" \
        "$(cd / && timeout 60 "$spawner" "$1" "$plain" 2>&1 8>&1; echo $?)"
}

# opens what a child is to write.
spawn_opens() {
    local name
    equal "pidfd_spawn: ends well" "$(under timeout 60 "$spawner" pidfd "$mnt" 2>&1)" "1 0"
    equal "pidfd_spawn: it is sealed" "$(entry "$mnt" pidfd), $(<"$mnt/pidfd")" "image sealed intact, spawned"
    as_without reuse
    equal "the third child was whole" "$(<"$mnt/reuse")" third
    equal "and the one that was killed is a draft" "$(entry "$mnt" reuse)" \
        $'image sealed intact\ndraft interrupted writer-vanished its writer ended without closing it'
    as_without elsewhere
    equal "by a name from another directory: it is sealed" "$(entry "$mnt" elsewhere)" "image sealed intact"
    check "with what it is without" cmp "$mnt/elsewhere" "$plain/elsewhere"
    as_without attributes
    for name in attributes.{1..3}; do
        equal "$name: it is sealed" "$(entry "$mnt" "$name")" "image sealed intact"
        check "with what it says without the library" diff "$mnt/$name" "$plain/$name"
    done
    as_without together
    equal "threads at a time: all are sealed" "$(entries "$mnt" | grep -c '^together.*image sealed intact')" 3
    equal "and no draft is left" "$(entries "$mnt" | grep '^together.* draft')" ""
}

spawn_fails() {
    under bash -c 'echo old >"$0"' "$mnt/fail"
    as_without fail
    equal "what could not be started publishes nothing" "$(entry "$mnt" fail | sort -u)" \
        $'draft interrupted writer-exited writer exited with status 127\nimage sealed intact'
    check "the old version stays" grep -qx old "$mnt/fail"
}

for part in spawn_opens spawn_fails; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
exit $failed
