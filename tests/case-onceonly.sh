#!/bin/bash
# No request is done twice or not at all: the worker is killed at each system call that it makes for each kind of request, and nobody can
# tell afterwards. KILL_POINTS=N: at so many percent of them (otherwise at a few); SEED=N: other random points; an
# argument: only that operation.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

case_cleanup() {
    if mountpoint -q "$back"; then umount "$back"; fi
}

percent=${KILL_POINTS:-$((${ROUNDS_PERCENT:-100} > 50 ? 4 : 2))}
python=$(PATH=/usr/bin:/bin command -v python3) || skip "no python3"
mount -t tmpfs -o size=256M none "$back" || skip "no tmpfs can be mounted"
disturb() { # [OPERATION...]
    "$python" "$(dirname "$0")/lib/onceonly.py" "$back" "$mnt" "$daemon" "$TEST_BIN_DIR/killat" "$percent" "$@" || failed=1
    check "unmounting ends the daemon with status 0" stop_daemon
}
start_daemon
disturb "$@"
if [ $# -eq 0 ]; then
    # What settles is decided before the request that was in hand comes again.
    start_daemon -o settle=200
    PAUSE=250 disturb "RENAME over settling" "RENAME settling over settling" "RENAME settling" "UNLINK settling"
    start_daemon -o commit=close
    disturb "RELEASE new" "RELEASE over" "RELEASE edit" "RELEASE complete" "RELEASE by exit" "a save"
fi
exit $failed
