# shellcheck shell=bash
# One disk image, $image: what saveseal says of it, and a program that has it open. For cases that source lib/mount.sh.
#
#   disk_says STATUS PATTERN OPTION  verify's exit status, and what it prints
#   disk_use TEXT COMMAND WORD [OPTION...]  checks that qemu-io runs COMMAND on it and says WORD; it stays open then, by
#                                           $machine, which ends when descriptor 9 is closed

# shellcheck disable=SC2034  # the cases use it
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
image=${work:?directory of lib/mount.sh}/disk

disk_says() {
    local status
    "$SAVESEAL" verify "$3" "$image" >"$work/out" 2>&1
    status=$?
    # shellcheck disable=SC2053  # a pattern
    [ "$status" -eq "$1" ] && [[ $(<"$work/out") == $2 ]] && return
    echo "# status $status: $(<"$work/out")"
    return 1
}

disk_use() {
    [ -p "$work/commands" ] || mkfifo "$work/commands"
    qemu-io "${@:4}" -f qcow2 "$image" <"$work/commands" >"$work/said" 2>&1 &
    # shellcheck disable=SC2034  # the cases use it
    machine=$!
    exec 9>"$work/commands"
    echo "$2" >&9
    check "$1" wait_until 20 grep -q "$3" "$work/said"
}
