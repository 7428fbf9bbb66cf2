# shellcheck shell=bash
# The same commands in the mount and in a plain directory: what they say and what they leave must be the same. Source it
# after mount.sh. A case calls start_daemon, then same.
#
# In $work: plain (the directory to compare with), bin (programs that any user can reach: savesealfs, saveseal, calls).
# shellcheck disable=SC2154  # work, mnt, back come from mount.sh

plain=$work/plain
bin=$work/bin
count=0
place= # the directory at hand, under $mnt, $back and $plain
# The system's own: others may lie where only root can reach them.
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)

mkdir "$plain" "$bin"
chmod 755 "$work"
cp "$SAVESEAL" "$bin/saveseal"
cp "$SAVESEALFS" "$bin/daemon"
printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${SAVESEALFS_RUN:-}" "$bin/daemon" >"$bin/savesealfs"
{
    echo "#!$python"
    cat "$(dirname "${BASH_SOURCE[0]}")/calls.py"
} >"$bin/calls"
chmod 755 "$bin"/*
export PATH=$bin:$PATH LC_ALL=C

# For the commands that are compared.
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"; }
as_member() { setpriv --reuid 65534 --regid 65534 --groups "$1" -- "${@:2}"; } # GROUP COMMAND...
try() { # COMMAND...: prints its exit status
    "$@"
    echo "status $?"
}
export -f as_nobody as_member try

# all_of DIR: a line for every file and for every attribute of it that does not depend on the place. git's index holds inode numbers.
all_of() {
    (
        cd "$1" || exit
        find . -mindepth 1 ! -path '*/.git/index' ! -name '.saveseal.*' \
            \( -type d -printf '%p %y %m %U %G\n' -o -printf '%p %y %m %U %G %s %n %l\n' \)
        find . -exec getfattr -h -d -m - -e hex {} + |
            awk '/^# file:/ {file = $3; next} NF && !/^user.saveseal./ {print file, $0}'
    ) | sort
}
content_of() { (cd "$1" && find . -type f ! -path '*/.git/index' ! -name '.saveseal.*' -exec cksum {} + | sort); } # DIR

# Prints what is wrong in $place: each file that is not empty must be sealed and whole, and no draft be left.
not_settled() {
    find "$mnt/$place" -type f -size +0 -print0 | xargs -0r "$SAVESEAL" verify >"$work/verified" 2>&1 ||
        grep -v ': intact' "$work/verified"
    find "$mnt/$place" -type d -exec "$SAVESEAL" status --json {} + | grep -o '{[^{}]*"kind": *"draft"[^{}]*}'
    find "$back/$place" -name '.saveseal.*' -printf 'left: %P\n'
}

differ() { # NAME FILE FILE: prints how
    cmp -s "$2" "$3" || {
        echo "$1 differs:"
        diff -a "$2" "$3" | grep -a '^[<>]' | cut -c 1-200 | head -n 8
    }
}

# The shell itself writes what is redirected from its own commands; an error of the last one is not to spoil that.
run_in() { (cd "$1" && "${@:4}" timeout 60 bash -c "$3"$'\n:' same >"$2" 2>&1 </dev/null); } # DIR OUTPUT COMMANDS [PREFIX...]

# again TEXT COMMANDS: in the directories at hand.
again() {
    local problems dir
    run_in "$plain/$place" "$work/plain.said" "$2"
    run_in "$mnt/$place" "$work/mnt.said" "$2" under
    for dir in plain mnt back; do
        all_of "${!dir}/$place" >"$work/$dir.has"
    done
    content_of "$plain/$place" >"$work/plain.content"
    content_of "$mnt/$place" >"$work/mnt.content"
    problems=$(
        differ "what it says" "$work/plain.said" "$work/mnt.said"
        differ "what is in the mount" "$work/plain.has" "$work/mnt.has"
        differ "what is behind the mount" "$work/plain.has" "$work/back.has"
        differ "the content" "$work/plain.content" "$work/mnt.content"
        not_settled
    )
    if [ -z "$problems" ]; then
        ok "$1"
    else
        not_ok "$1"
        echo "#   ${problems//$'\n'/$'\n'#   }"
    fi
}

# same TEXT COMMANDS: in new directories.
same() {
    count=$((count + 1))
    place=d$count
    mkdir "$plain/$place" "$mnt/$place"
    again "$@"
}

intact() { "$SAVESEAL" verify "$1" >/dev/null 2>&1; }

# refused TEXT ERROR COMMAND...: it must fail with that message.
refused() {
    local text=$1 error=$2 said
    shift 2
    if said=$(timeout 60 "$@" 2>&1 </dev/null); then
        not_ok "$text: it was allowed"
    elif [[ $said == *"$error"* ]]; then
        ok "$text: $error"
    else
        not_ok "$text: '$said', wanted '$error'"
    fi
}

# Takes down what is mounted below $work, apart from $mnt.
# shellcheck disable=SC2317  # called at the end
case_cleanup() {
    local dir
    awk -v w="$work/" -v m="$mnt" 'index($5, w) == 1 && $5 != m {print $5}' /proc/self/mountinfo | tac | while read -r dir; do
        umount -l "$dir"
    done
}
