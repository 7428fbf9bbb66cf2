# shellcheck shell=bash disable=SC2154  # work, back: of mount.sh
# A store whose disk refuses data when it is written back: ext4 in a file on a tmpfs, whose free blocks have no room behind them.
# Its own blocks have room (mkfs leaves holes, cp fills them), and attributes stand in the inodes. Source it after mount.sh.

# thin_store MIB: mounts it on $back; $work/store is the tmpfs.
thin_store() {
    mkdir -p "$work/store"
    mount -t tmpfs -o size=$(($1 * 3 / 2))M none "$work/store"
    truncate -s "$1M" "$work/disk"
    mkfs.ext4 -q -b 4096 -I 1024 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$work/disk" &&
        cp --sparse=never "$work/disk" "$work/store/disk" &&
        mount -o loop "$work/store/disk" "$back"
}
use_up_store() { # from now on there is no room
    sync -f "$back" 2>/dev/null # may tell of what was before
    fstrim "$back"
    head -c 1G /dev/zero >"$work/store/ballast" 2>/dev/null
    return 0
}
empty_store() { # there is room again
    rm -f "$work/store/ballast"
}
stored_mib() { # what the disk holds of $back
    echo $(($(stat -c %b "$work/store/disk") / 2048))
}
