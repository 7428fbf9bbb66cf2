#!/bin/bash
# The worker, the keeper, writers or all of them are killed at random instants while several processes save, edit, rename and remove, and
# others read: whatever anybody sees is a whole version, and none that a newer one had replaced; P1 to P7 hold on the next mount.
# INSTANTS=N: how many; SEED=N: others. RULE=settle: what of a save that settles is lost with its writer is no violation then.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

case_cleanup() {
    if mounted "$mnt"; then
        abort_mount
        umount -l "$mnt"
    fi
    [ ! -s "$work/daemon" ] || kill -KILL "$(cat "$work/daemon")" 2>/dev/null
    if mountpoint -q "$back"; then umount -l "$back"; fi
}

python=$(PATH=/usr/bin:/bin command -v python3) || skip "no python3"
mount -t tmpfs -o size=512M none "$back" || skip "no tmpfs can be mounted"
"$python" "$(dirname "$0")/lib/instants.py" "$work" "${INSTANTS:-$(rounds 300)}" "${RULE:-close}" || failed=1
if [ $failed = 0 ]; then rm "$work/daemon"; fi
exit $failed
