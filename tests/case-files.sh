#!/bin/bash
# What programs do in save directories, through the mount and in a plain directory: the same comes of it. And the ways to mount.
# shellcheck disable=SC2015,SC2016,SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

library=$(cd "$(dirname "$0")/lib" && pwd)
plain=$work/plain
second=$work/second # another mount, of $second.back
mkdir "$plain" "$second" "$second.back"
chmod 755 "$work"

case_cleanup() {
    local place
    for place in "$second" "$work/itself" "$work/odd"; do
        if mountpoint -q "$place"; then umount -l "$place"; fi
    done
}

clear_all() { find "$plain" "$back" -mindepth 1 -delete; }

# Whoever has no privileges needs programs that he may run: some of root's are root's alone.
as_nobody() { PATH=/usr/bin:/bin setpriv --reuid 65534 --regid 65534 --groups 13 "$@"; }

# same TEXT COMMAND...: prints the same in $plain as in $mnt.
same() {
    local text=$1
    shift
    (cd "$plain" && "$@" . 2>&1) >"$work/wanted"
    (cd "$mnt" && "$@" . 2>&1) >"$work/got"
    if [ -s "$work/wanted" ] && diff -u "$work/wanted" "$work/got"; then ok "$text"; else not_ok "$text"; fi
}

tree() { find "$1" -printf '%P %y %m %U:%G %n %l\n' | sort; }

# --- system calls ---

file_operations() {
    cp "$library/fileops.py" "$work/fileops.py"
    same "operations as root" python3 "$library/fileops.py" root
    same "and what is left" tree
    check "and all that is not empty is sealed" sealed_unless_empty
    clear_all
    python3 "$library/fileops.py" prepare "$plain"
    python3 "$library/fileops.py" prepare "$mnt"
    same "operations as nobody" as_nobody python3 "$work/fileops.py" nobody
    same "and what is left" tree
    clear_all
}

sealed_unless_empty() {
    local odd
    odd=$(find "$mnt" -xdev -type f -size +0 -exec "$SAVESEAL" verify {} + 2>&1 | grep -v 'intact\|whole')
    echo "$odd" | head -n 5
    [ -z "$odd" ] && [ -z "$(find "$back" -name '.saveseal.*')" ]
}

# --- attributes that need programs ---

access_lists() { # DIR: what becomes of a default ACL
    mkdir "$1/acl"
    chmod 2770 "$1/acl"
    setfacl -m d:u:12:rwx,d:g:13:r-x,d:o::- "$1/acl"
    (
        umask 022
        echo one >"$1/acl/one"
        cp "$1/acl/one" "$1/acl/two"
        mkdir "$1/acl/dir"
        echo new >"$1/acl/one"
        setfacl -m u:14:rw "$1/acl/two"
        chmod g-w "$1/acl/two"
        echo new >"$1/acl/two"
        cp -a "$1/acl/two" "$1/acl/three"
        install -m 640 "$1/acl/one" "$1/acl/four"
    )
    (cd "$1" && getfacl -n acl acl/*)
}

protected_attributes() {
    local value
    cp /bin/true "$mnt/image"
    value=$(getfattr --absolute-names --only-values -n user.saveseal.seal "$mnt/image")
    check "the seal can be read" test -n "$value"
    check "writing the seal is let pass" setfattr -n user.saveseal.seal -v forged "$mnt/image"
    check "removing the seal is let pass" setfattr -x user.saveseal.seal "$mnt/image"
    check "nor anything else of ours made" fails_with "Operation not permitted" setfattr -n user.saveseal.draft -v x "$mnt/image"
    equal "and it is what it was" "$(getfattr --absolute-names --only-values -n user.saveseal.seal "$mnt/image")" "$value"
    check "a copy that keeps attributes has a seal of its own" kept_copy
}
kept_copy() {
    printf more >>"$mnt/image" && cp --preserve=all "$mnt/image" "$mnt/copy" && "$SAVESEAL" verify "$mnt/copy" >/dev/null
}
fails_with() { # TEXT COMMAND...
    local text=$1
    shift
    ! "$@" >/dev/null 2>"$work/error" && grep -qF "$text" "$work/error"
}

reserved_names() {
    local draft=.saveseal.0123456789abcdef
    echo hidden >"$back/$draft"
    check "a reserved name: not listed" test -z "$(find "$mnt" -name '.saveseal*')"
    check "not there" fails_with "No such file" cat "$mnt/$draft"
    check "can not be made" fails_with "Operation not permitted" bash -c ">'$mnt/$draft'"
    check "nor a directory" fails_with "Operation not permitted" mkdir "$mnt/.saveseal.d"
    check "nor a link" fails_with "Operation not permitted" ln -s x "$mnt/.saveseal.l"
    check "nor a hard link" fails_with "Operation not permitted" ln "$mnt/image" "$mnt/.saveseal.h"
    check "nor renamed to" fails_with "Operation not permitted" mv -T "$mnt/image" "$mnt/.saveseal.r"
    check "nor removed" fails_with "" rm "$mnt/$draft"
    check "but in the backing directory it stays" test -e "$back/$draft"
    rm "$back/$draft"
    echo near >"$mnt/.saveseal" && echo near >"$mnt/.savesealed"
    equal "names that are only like it" "$(cat "$mnt/.saveseal" "$mnt/.savesealed")" "near"$'\n'"near"
}

other_ways() { # P7
    mkdir "$back/deep" && echo before >"$back/deep/file"
    equal "a file made in the backing directory shows" "$(cat "$mnt/deep/file")" before
    equal "and is unsealed" "$(entry "$mnt/deep" file)" "image unsealed unsealed"
    echo longer content >"$back/deep/file"
    equal "changed there, it shows as it is" "$(cat "$mnt/deep/file")" "longer content"
    mv "$back/deep/file" "$back/deep/moved"
    check "renamed there, it is gone" test ! -e "$mnt/deep/file"
    equal "and shows under its new name" "$(cat "$mnt/deep/moved")" "longer content"
    echo saved >"$mnt/deep/moved"
    equal "saved over, it is sealed" "$(entry "$mnt/deep" moved)" "image sealed intact"
    echo damaged >"$back/deep/moved"
    check "damaged there, it can not be opened" fails_with "Input/output error" cat "$mnt/deep/moved"
    check "and the log says why" grep -q "moved: .*header-mismatch\|moved: .*grown" "$log"
    rm "$mnt/deep/moved"
    check "unlinked, it is set aside" test -n "$(find "$back/deep" -name '.saveseal.*')"
}

draft_begun() { [ -n "$(find "$back/here" -type f)" ]; }

# Directories may go elsewhere while something is saved in them, drafts too.
moves() {
    mkdir "$mnt/here" "$mnt/there"
    touch "$work/hold"
    "$TEST_BIN_DIR/writer" "$mnt/here/image" create write:100K "hold:$work/hold" write:1K close &
    wait_until 10 draft_begun
    mv "$mnt/here" "$mnt/moved"
    check "a directory with a draft in it can not be removed" fails_with "not empty" rmdir "$mnt/moved"
    rm "$work/hold"
    wait $!
    equal "but moved: the save goes with it" "$(entry "$mnt/moved" image)" "image sealed intact"
    "$TEST_BIN_DIR/writer" "$mnt/image" create write:100K rename:there/image write:1K close
    equal "a draft moved to another directory: the save goes with it" "$(entry "$mnt/there" image)" "image sealed intact"
    check "and its content" cmp -s "$mnt/there/image" "$mnt/moved/image"
}

# --- programs that save ---

# saves TEXT FILE SHELLCOMMAND: a command that makes FILE in the current directory from the files in $source.
saves() {
    (cd "$plain" && eval "$3") >/dev/null 2>"$work/error"
    (cd "$mnt" && eval "$3") >/dev/null 2>"$work/error"
    local problem=
    cmp -s "$plain/$2" "$mnt/$2" || problem="the content differs: $(head -n 1 "$work/error")"
    "$SAVESEAL" verify "$mnt/$2" >/dev/null 2>&1 || problem+=" it does not verify"
    [ "$(stat -c '%a %U' "$plain/$2")" = "$(stat -c '%a %U' "$mnt/$2")" ] || problem+=" mode or owner differ"
    [ "$(entries "$mnt" | grep -c ' draft ')" -eq 0 ] || problem+=" a draft is left"
    if [ -z "$problem" ]; then ok "$1"; else not_ok "$1: $problem"; fi
}

programs() {
    source=$work/source
    mkdir -p "$source/tree/sub"
    head -c 3000000 /dev/urandom >"$source/one"
    head -c 2999000 "$source/one" >"$source/two"
    echo x >>"$source/two"
    cp "$source/one" "$source/tree/sub/file"
    truncate -s 8M "$source/sparse" && dd if="$source/one" of="$source/sparse" bs=4k seek=300 conv=notrunc 2>/dev/null
    tar -C "$source" -cf "$work/tree.tar" tree
    saves "dd" a 'dd if=$source/one of=a bs=64k'
    saves "dd oflag=direct" b 'head -c 2M $source/one | dd of=b bs=64k iflag=fullblock oflag=direct'
    saves "dd conv=notrunc,fsync into an image" a 'dd if=$source/two of=a bs=100000 seek=3 conv=notrunc,fsync'
    saves "cp" c 'cp $source/one c'
    saves "cp over an image" c 'cp $source/two c'
    saves "cp -a" d 'cp -a $source/two d'
    saves "cp --sparse=always" e 'cp --sparse=always $source/sparse e'
    saves "cp within the mount" f 'cp a f'
    saves "mv into it" g 'cp $source/one $source/gone; mv $source/gone g'
    saves "mv within it" h 'mv g h'
    saves "rsync" one 'rsync $source/one one'
    saves "rsync -a over an image" one 'rsync -a --no-whole-file $source/two one'
    saves "rsync --inplace" c 'rsync --inplace --no-whole-file --ignore-times $source/one c'
    saves "rsync --append" i 'head -c 1M $source/one >i; rsync --append $source/one i'
    saves "rsync --sparse" j 'rsync --sparse $source/sparse j'
    saves "tar x" tree/sub/file 'tar xf $work/tree.tar'
    saves "cat >" k 'cat $source/one >k'
    saves ">>" k 'cat $source/two >>k'
    saves ">> of a new file" l 'cat $source/two >>l'
    saves "install" m 'install -m 751 $source/one m'
    saves "truncate" m 'truncate -s 1234567 m'
    saves "fallocate" m 'fallocate -l 4M m'
    saves "shred" m 'cp $source/one m; chmod 600 m; shred --random-source=$source/sparse -n 1 m'
    saves "sed -i" n 'printf "a\nb\n" >n; sed -i s/a/c/ n'
    saves "tee" o 'tee o <$source/one'
    saves "split" pab 'split -b 1000000 $source/one p'
    saves "sort -o itself" q 'seq 5000 -1 1 >q; sort -n -o q q'
    saves "python" r 'python3 -c "open(\"r\", \"w\").write(\"text\" * 100000)"'
    saves "patch in place" s 'echo a >s; cp s s.old; echo b >s; diff s.old s | patch -R s'
}

disk_images() {
    if ! command -v qemu-img >/dev/null; then
        [ "${SAVESEAL_MUST_RUN:-0}" = 1 ] && not_ok "no qemu-img"
        return
    fi
    saves "qemu-img convert to raw" raw 'qemu-img convert -O raw $source/sparse raw'
    qemu-img convert -O qcow2 "$source/sparse" "$mnt/disk" && qemu-img check -q "$mnt/disk"
    equal "qemu-img convert to qcow2, qemu-img check" $? 0
    check "its content is the same" qemu-img compare -q "$source/sparse" "$mnt/disk"
    equal "it is sealed" "$(entry "$mnt" disk)" "image sealed intact"
    qemu-img snapshot -c now "$mnt/disk"
    qemu-img resize -q "$mnt/disk" 16M
    check "changed in place twice, it verifies" "$SAVESEAL" verify "$mnt/disk" >/dev/null
    check "and is a good qcow2" qemu-img check -q "$mnt/disk"
    equal "with its snapshot" "$(qemu-img snapshot -l "$mnt/disk" | grep -c ' now ')" 1
}

# --- ways to mount ---

unmounted_quietly() { # DIR: and the daemon, which is not our child, ends
    umount "$1" && wait_until 10 gone "$1"
}
gone() { ! pgrep -f "savesealfs.* $1\$" >/dev/null; }

works() { # DIR
    echo content >"$1/probe" && [ "$(cat "$1/probe")" = content ] && [ "$(entry "$1" probe)" = "image sealed intact" ]
}

in_background() {
    local status
    # shellcheck disable=SC2086  # the prefix is words
    ${SAVESEALFS_RUN:-} "$SAVESEALFS" "$second.back" "$second" >"$work/said" 2>&1
    status=$?
    equal "without -f it says nothing and ends with 0" "$status $(cat "$work/said")" "0 "
    check "by then the mount works" works "$second"
    check "unmounting ends it" unmounted_quietly "$second"
    check "a backing directory that is not there: refused" refused "No such file" "$work/nothing" "$second"
    check "a mount point that is not there: refused" refused "No such file" "$second.back" "$work/nothing"
    check "a file as backing directory: refused" refused "Not a directory" "$log" "$second"
    check "an option that nobody knows: refused" refused "unknown option" -o nonsense "$second.back" "$second"
    check "a digest that nobody knows: refused" refused "must be full or header" -o digest=crc "$second.back" "$second"
    check "one directory only: refused" refused "BACKING and MOUNT" "$second.back"
    check "and nothing is mounted" test -z "$(grep " $second " /proc/self/mountinfo)"
}

refused() { # TEXT ARGUMENT...
    local text=$1
    shift
    # shellcheck disable=SC2086  # the prefix is words
    ! timeout 20 ${SAVESEALFS_RUN:-} "$SAVESEALFS" "$@" >"$work/said" 2>&1 && grep -q "$text" "$work/said"
}

# mount(8) looks for the program in the system's own places: it gets one there in a mount namespace of our own.
by_mount() {
    [ -x /sbin/mount.fuse ] || return 0
    mkdir -p /usr/local/sbin
    check "mounted by mount(8): passes all of its checks" own_namespace mounted_by_mount
}

# own_namespace FUNCTION: in a shell with the functions that it needs.
own_namespace() {
    export work second log
    unshare -m --propagation private bash -c "set -u; $(declare -f); $1"
}

mounted_by_mount() {
    mount -t tmpfs none /usr/local/sbin && ln -s "$SAVESEALFS" /usr/local/sbin/savesealfs || exit 1
    mount -t fuse.savesealfs "$second.back" "$second" && works "$second" || exit 2
    [ "$(findmnt -n -o FSTYPE,SOURCE "$second")" = "fuse.savesealfs $second.back" ] || exit 3
    unmounted_quietly "$second" || exit 4
    mount -t fuse.savesealfs -o rw,nofail,_netdev,nosuid,nodev,digest=header "$second.back" "$second" &&
        works "$second" && unmounted_quietly "$second" || exit 5
    mount -t fuse.savesealfs -o ro "$second.back" "$second" && cmp -s "$second/probe" "$second.back/probe" || exit 6
    fails_with "Read-only file system" bash -c ">'$second/new'" && unmounted_quietly "$second" || exit 7
}

over_itself() {
    mkdir "$work/itself"
    echo before >"$work/itself/file"
    # shellcheck disable=SC2086  # the prefix is words
    ${SAVESEALFS_RUN:-} "$SAVESEALFS" "$work/itself" "$work/itself"
    equal "mounted over itself, what was there shows" "$(cat "$work/itself/file")" before
    check "and it works" works "$work/itself"
    check "and unmounts" unmounted_quietly "$work/itself"
    equal "and what was saved is there" "$(cat "$work/itself/probe")" content
}

without_attributes() {
    mkdir "$work/odd"
    mount -t ramfs none "$work/odd"
    check "a file system without attributes is refused, with a cure" refused "no user extended attributes.*choose another" \
        "$work/odd" "$second"
    umount "$work/odd"
}

# The device may be root's alone, so its namesake in a mount namespace of our own takes its place.
unprivileged() {
    mkdir "$work/user" "$work/user.back"
    chown 65534:65534 "$work/user" "$work/user.back"
    check "a user's own mount: passes all of its checks" own_namespace mounted_by_user
}

mounted_by_user() {
    mknod -m 666 "$work/fuse" c 10 229 && mount --bind "$work/fuse" /dev/fuse || exit 1
    # shellcheck disable=SC2086  # the prefix is words
    as_nobody ${SAVESEALFS_RUN:-} "$SAVESEALFS" "$work/user.back" "$work/user" || exit 2
    export -f works entry entries
    as_nobody bash -c "works '$work/user'" || exit 3
    as_nobody bash -c "{ echo half; kill -9 \$\$; } >'$work/user/killed'" 2>/dev/null
    as_nobody bash -c "entry '$work/user' killed" | grep -q '^draft interrupted writer-killed' || exit 4
    ! cat "$work/user/probe" 2>/dev/null || exit 5 # root is a stranger there
    as_nobody fusermount3 -u "$work/user" || exit 6
    wait_until 10 gone "$work/user"
}

start_daemon
for part in file_operations programs disk_images protected_attributes reserved_names other_ways moves; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
same "default ACLs" access_lists
check "unmounting ends the daemon with status 0" stop_daemon
for part in in_background by_mount over_itself without_attributes unprivileged; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
exit $failed
