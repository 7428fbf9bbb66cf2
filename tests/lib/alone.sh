#!/bin/bash
# alone.sh COMMAND [ARGUMENT...]: to be the first in a private mount namespace. It gives up the mounts of other cases that were copied into it: they
# would live as long as COMMAND, and their cases wait in vain for the end of a daemon or a disk.
while read -r _ _ _ _ point _; do
    case $point in
    */saveseal-test.*) umount -l "$(printf %b "${point//\\/\\0}")" ;;
    esac
done </proc/self/mountinfo 2>/dev/null
exec "$@"
