#!/bin/bash
# The ways to mount, to refuse to, and to end; and what two mounts, a read-only one, and one of a user without privileges do.
# shellcheck disable=SC2016,SC2086,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/same.sh
. "$(dirname "$0")/lib/same.sh"

# Runs the daemon as the user would; its end is seen by the lock that it inherits.
launch() { # COMMAND...
    (
        flock -w 20 9 || exit
        exec timeout 30 "$@"
    ) 9>"$work/alive" >"$work/said" 2>&1 </dev/null
}
has_ended() { flock -w 10 "$work/alive" true; }

fails() { # TEXT WORD COMMAND...: ends with a status other than 0, a message with the word, and mounts nothing.
    local text=$1 word=$2 status dir
    shift 2
    launch "$@"
    status=$?
    if [ $status -eq 0 ] || [ $status -eq 124 ] || ! grep -qF -- "$word" "$work/said"; then
        not_ok "$text: status $status, '$(cat "$work/said")'"
    else
        ok "$text: refused"
    fi
    for dir in "$mnt" "$work/file"; do
        grep -q " $dir .* - fuse" /proc/self/mountinfo || continue
        not_ok "$text: mounted all the same"
        umount "$dir"
    done
    has_ended || not_ok "$text: a process is left"
}

usable() { # a save in $mnt is published and sealed
    seq 9999 >"$mnt/usable" && cmp -s "$mnt/usable" <(seq 9999) && intact "$mnt/usable" && rm "$mnt/usable"
}

in_background() {
    launch "$bin/savesealfs" "$back" "$mnt"
    equal "without -f the command returns 0" "$? $(cat "$work/said")" "0 "
    check "when the mount works" usable
    check "unmounts" umount "$mnt"
    check "and the daemon ends" has_ended
    (cd "$work" && launch "$bin/savesealfs" back mnt)
    check "relative names" usable
    umount "$mnt"
    has_ended
    launch bash -c '"$0" "$1" "$2" <&- >&- 2>&-' "$bin/savesealfs" "$back" "$mnt"
    equal "without standard descriptors the command returns 0" $? 0
    check "and the mount works" usable
    umount "$mnt"
    check "and its daemon ends" has_ended
}

odd_names() {
    local back="$work/b, c\\d" mnt="$work/m, c\\d"
    mkdir "$back" "$mnt"
    launch "$bin/savesealfs" "$back" "$mnt"
    equal "names with commas, blanks and backslashes" "$? $(cat "$work/said")" "0 "
    check "work" usable
    equal "the source is named" "$(findmnt -n -o SOURCE -M "$mnt")" "$back"
    check "unmounts" umount "$mnt"
    check "and ends" has_ended
    rmdir "$back" "$mnt"
}

refusals() {
    fails "no backing directory" "$work/none: No such file" "$bin/savesealfs" "$work/none" "$mnt"
    fails "no mount point" "$work/none: No such file" "$bin/savesealfs" "$back" "$work/none"
    : >"$work/file"
    fails "a mount point that is a file" "$work/file: Not a directory" "$bin/savesealfs" "$back" "$work/file"
    fails "a backing directory that is a file" "$work/file: Not a directory" "$bin/savesealfs" "$work/file" "$mnt"
    fails "an unknown option" nonsense "$bin/savesealfs" -o nonsense "$back" "$mnt"
    fails "an unknown flag" --nonsense "$bin/savesealfs" --nonsense "$back" "$mnt"
    fails "an unknown digest" "digest=md5: must be full or header" "$bin/savesealfs" -o digest=md5 "$back" "$mnt"
    fails "only one directory" "BACKING and MOUNT are wanted" "$bin/savesealfs" "$back"
    fails "three directories" "$work/third" "$bin/savesealfs" "$back" "$mnt" "$work/third"
    fails "the same in the foreground" nonsense "$bin/savesealfs" -f -o nonsense "$back" "$mnt"
}

messages() {
    check "--help" grep -q "^usage: savesealfs" <("$bin/savesealfs" --help)
    check "-h" grep -q -- "-o savers=" <("$bin/savesealfs" -h)
    check "-V" grep -qE "^savesealfs [0-9]" <("$bin/savesealfs" -V)
    check "--version" grep -qE "^savesealfs [0-9]" <("$bin/savesealfs" --version)
}

# In a mount namespace of its own: mount(8) has a PATH of its own, so the daemon is put there.
from_fstab() {
    local options
    mount -t tmpfs none /usr/local/sbin
    cp "$bin/savesealfs" /usr/local/sbin
    for options in rw nofail,x-systemd.automount,x-systemd.before=a.service,_netdev,noauto nodev,nosuid,noexec,noatime \
        defaults,digest=header,savers=/bin/true; do
        launch mount -t fuse.savesealfs "$back" "$mnt" -o "$options"
        equal "mount -o $options" "$? $(cat "$work/said")" "0 "
        check "works" usable
        equal "is listed" "$(findmnt -n -o FSTYPE,SOURCE -M "$mnt")" "fuse.savesealfs $back"
        check "umount" umount "$mnt"
        check "ends it" has_ended
    done
    echo image >"$back/image"
    launch mount -t fuse.savesealfs "$back" "$mnt" -o ro
    equal "mount -o ro shows what is there" "$(cat "$mnt/image")" image
    refused "and is read-only" "Read-only file system" bash -c "echo x >'$mnt/new'"
    umount "$mnt"
    has_ended
    fails "mount with an unknown option" nonsense mount -t fuse.savesealfs "$back" "$mnt" -o nonsense
    launch mount -t fuse.savesealfs "$back" "$mnt" -o noexec
    cp /bin/true "$mnt/program"
    refused "noexec is in force" "Permission denied" "$mnt/program"
    umount "$mnt"
    has_ended
}

over_itself() {
    local beside=$mnt
    echo before >"$back/earlier"
    mnt=$back
    start_daemon
    check "mounted over its own backing directory" usable
    equal "what was there is shown" "$(cat "$mnt/earlier")" before
    echo after >"$mnt/later"
    equal "and status can look behind it" "$(entry "$mnt" later)" "image sealed intact"
    refused "a second one on top" "savesealfs" "$bin/savesealfs" "$back" "$mnt"
    check "unmounting ends it" stop_daemon
    equal "and what was saved is there" "$(cat "$back/later")" after
    launch "$bin/savesealfs" "$back" "$mnt"
    equal "in the background as well, what was there is shown" "$? $(cat "$mnt/earlier")" "0 before"
    check "and it works" usable
    check "unmounts" umount "$mnt"
    check "and ends" has_ended
    mnt=$beside
}

read_only() {
    local dir=$work/readonly source
    start_daemon
    seq 3000 >"$mnt/image"
    stop_daemon
    mkdir "$dir" # the same, but nothing can be written there
    mount --bind "$back" "$dir" && mount -o remount,ro,bind "$dir"
    fails "a directory that can not be written, without -o ro" "-o ro" "$bin/savesealfs" "$dir" "$mnt"
    for source in "$back" "$dir"; do
        launch "$bin/savesealfs" -o ro "$source" "$mnt"
        equal "-o ro" "$? $(cat "$work/said")" "0 "
        check "reads" cmp -s "$mnt/image" <(seq 3000)
        check "verifies" intact "$mnt/image"
        equal "lists" "$(entry "$mnt" image)" "image sealed intact"
        refused "write" "Read-only file system" bash -c "echo x >'$mnt/image'"
        refused "append" "Read-only file system" bash -c "echo x >>'$mnt/image'"
        refused "create" "Read-only file system" bash -c "echo x >'$mnt/new'"
        refused "truncate" "Read-only file system" truncate -s 1 "$mnt/image"
        refused "unlink" "Read-only file system" unlink "$mnt/image"
        refused "rename" "Read-only file system" mv "$mnt/image" "$mnt/other"
        refused "chmod" "Read-only file system" chmod 600 "$mnt/image"
        refused "mkdir" "Read-only file system" mkdir "$mnt/fresh"
        refused "setfattr" "Read-only file system" setfattr -n user.x -v 1 "$mnt/image"
        umount "$mnt"
        has_ended
    done
    umount "$dir"
}

no_xattrs() {
    mkdir "$work/ram"
    mount -t ramfs none "$work/ram"
    fails "a file system without user xattrs" "mount it with them (ext4" "$bin/savesealfs" "$work/ram" "$mnt"
    equal "and it has left nothing there" "$(find "$work/ram" -mindepth 1)" ""
    umount "$work/ram"
}

live() { [ "$(entry "$mnt" "$1")" = "draft writing draft-in-progress" ]; }

two_mounts() {
    local second=$work/second writer
    start_daemon
    mkdir "$second"
    launch "$bin/savesealfs" "$back" "$second"
    seq 100 >"$mnt/version"
    mkfifo "$work/hold"
    cat "$work/hold" >"$mnt/fresh" &
    writer=$!
    exec 7>"$work/hold"
    echo half >&7
    check "a draft is live" wait_until 10 live fresh
    equal "a second mount of the same directory hides it" "$(find "$second" -maxdepth 1 -name fresh)" ""
    equal "and lists it as being written" "$(entry "$second" fresh)" "draft writing draft-in-progress"
    exec 7>&-
    wait $writer
    equal "when it is published both show it" "$(cat "$mnt/fresh" "$second/fresh")" "half"$'\n'"half"
    seq 200 >"$second/version"
    stat "$second/version" >/dev/null # published now: close() is ordered before this, but not before what another mount is asked
    check "a version saved through the one shows in the other" cmp -s "$mnt/version" <(seq 200)
    umount "$second"
    check "the second ends" has_ended
    check "the first as well" stop_daemon
    rm "$work/hold"
}

not_mounted() { ! mounted "$mnt"; }

terminated() {
    local writer status
    start_daemon
    mkfifo "$work/hold"
    echo old >"$mnt/other"
    cat "$work/hold" >"$mnt/late" &
    writer=$!
    exec 7>"$work/hold"
    echo first >&7
    wait_until 10 live late
    refused "umount while a draft is open" "busy" umount "$mnt"
    check "and it goes on working" usable
    kill -TERM "$daemon"
    check "SIGTERM detaches the mount" wait_until 10 not_mounted
    check "the daemon waits for the writer" kill -0 "$daemon"
    equal "and nothing is published" "$(find "$back" -name late)" ""
    echo second >&7
    exec 7>&-
    wait $writer
    equal "the writer can finish" $? 0
    wait "$daemon"
    status=$?
    daemon=
    equal "the daemon ends with 0" $status 0
    equal "the image is published" "$(cat "$back/late")" "first"$'\n'"second"
    check "and sealed" intact "$back/late"
    rm "$work/hold"
    start_daemon
    kill -TERM "$daemon"
    wait "$daemon"
    status=$?
    daemon=
    equal "SIGTERM with nothing open: the daemon ends with 0" $status 0
    check "and nothing is mounted" not_mounted
}

# In a mount namespace of its own, where all may use /dev/fuse.
unprivileged() {
    local private=$work/private nobody="setpriv --reuid 65534 --regid 65534 --clear-groups --"
    mkdir "$private"
    mount -t tmpfs none "$private"
    mknod -m 666 "$private/fuse" c 10 229
    mount --bind "$private/fuse" /dev/fuse
    chown 65534:65534 "$back" "$mnt"
    chmod 700 "$back"
    launch $nobody "$bin/savesealfs" "$back" "$mnt"
    equal "a user mounts his own directory" "$? $(cat "$work/said")" "0 "
    saved_by_user() { as_nobody bash -c "cd '$mnt' && umask 022 && $1"; }
    check "he saves" saved_by_user 'seq 5000 >a && cp a b && cp -p a c && echo x >>b && truncate -s 9 c && mkdir d && mv b d/'
    check "a file that is read-only from the beginning" saved_by_user '(umask 333; seq 7000 >e) && install -m 444 a f && cp -p f g'
    check "a file that nobody may read" \
        saved_by_user '(umask 777; seq 7000 >z) && ! cat z 2>/dev/null && chmod 600 z && cmp z e && rm z'
    check "a file that becomes read-only while it is written" \
        saved_by_user 'exec 3>w && echo 1 >&3 && chmod 400 w && echo 2 >&3 && exec 3>&- && cmp w <(seq 2)'
    equal "with their modes" "$(saved_by_user 'stat -c %a e f g | tr "\n" " "')" "444 444 444 "
    check "and new versions of them" \
        saved_by_user 'cp --remove-destination a e && seq 10 >h && chmod 444 h && mv -f h f && chmod 644 g && echo 1 >>g'
    check "all are sealed" saved_by_user "'$bin/saveseal' verify a c d/b e f g w >/dev/null"
    equal "and in the directory behind it" "$(cmp "$back/a" <(seq 5000) && cmp "$back/e" "$back/a" && wc -l <"$back/f")" 10
    saved_by_user 'bash -c "seq 9; kill -9 \$\$" >killed' 2>/dev/null
    equal "a killed save is kept" "$(as_nobody "$bin/saveseal" status "$mnt" | grep -c "killed .*writer-killed")" 1
    refused "others have no access" "Permission denied" stat "$mnt/a"
    check "fusermount3 -u" as_nobody fusermount3 -u "$mnt"
    check "ends it" has_ended
    fails "a backing directory that he may not enter" "Permission denied" $nobody "$bin/savesealfs" /root "$mnt"
    SAVESEALFS_RUN=$nobody SAVESEALFS=$bin/savesealfs start_daemon
    check "mounts again, in the foreground" saved_by_user 'echo a >last'
    check "root's umount ends it" stop_daemon
    SAVESEALFS_RUN=$nobody SAVESEALFS=$bin/savesealfs start_daemon
    kill -TERM "$daemon"
    wait "$daemon"
    equal "so does SIGTERM" $? 0
    daemon=
    check "and nothing is mounted" not_mounted
}

# What may begin can end: the last saves find none of its descriptors taken. Prints how many could be opened, how many closes failed, and whether
# there is room again.
many_at_once() { # DIR
    "$python" - "$1" <<'PYTHON'
import errno, os, sys
os.chdir(sys.argv[1])
drafts = []
try:
    for number in range(1000):
        drafts.append(os.open("n%d" % number, os.O_WRONLY | os.O_CREAT))
        os.write(drafts[-1], b"all of it")
    said = "no limit"
except OSError as error:
    said = errno.errorcode[error.errno]
failed = 0
for draft in drafts:
    try:
        os.close(draft)
    except OSError:
        failed += 1
with open("again", "w") as again:
    again.write("again")
print(len(drafts) >= 40, said, failed)
PYTHON
}

no_drafts() { [ -z "$(find "$back/many" -name '.saveseal.*')" ]; }

few_descriptors() {
    local python
    python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
    launch bash -c 'ulimit -n 400; exec "$@"' bash "$bin/savesealfs" -o commit=close "$back" "$mnt"
    mkdir "$mnt/many"
    equal "with few descriptors there are so many drafts, and each is published" "$(many_at_once "$mnt/many")" "True ENFILE 0"
    check "and there is no draft left" wait_until 10 no_drafts # the rename comes after close(), which only who looks through the mount waits for
    rm -r "$mnt/many"
    umount "$mnt"
    has_ended || not_ok "a process is left"
    # Once a minute at most, and not anew by the next worker.
    SAVESEALFS_RUN="${SAVESEALFS_RUN:-} prlimit --nofile=400:400" start_daemon
    many_at_once "$mnt" >/dev/null
    kill -KILL "$(tr -d ' ' <"/proc/$daemon/task/$daemon/children")"
    many_at_once "$mnt" >/dev/null
    equal "the log says so, and what to do" "$(grep -c 'opens are refused (ENFILE): there are .* raise .*LimitNOFILE=' "$log")" 1
    check "the daemon ends with status 0" stop_daemon
    rm "$back"/*
}

# There are 131,072 handles, and a draft's take no descriptor of the daemon's. Prints how the next file was refused, and what is left of it.
all_handles() {
    "$python" - "$mnt" "$back" <<'PYTHON'
import errno, os, sys
mnt, back = sys.argv[1:]
os.chdir(mnt)
draft = os.open("draft", os.O_WRONLY | os.O_CREAT)
ended, end = os.pipe()
children = []
while True:
    full, said = os.pipe()
    children.append(os.fork())
    if children[-1] == 0:
        os.close(end)
        many = 0
        try:
            while True:
                os.open("draft", os.O_RDONLY)
                many += 1
        except OSError as error:
            os.write(said, b"%d %s" % (many, errno.errorcode[error.errno].encode()))
        os.read(ended, 1)
        os._exit(0)
    many, why = os.read(full, 100).decode().split()
    if why != "EMFILE" or int(many) < 1000:
        break
before = len(os.listdir(back))
try:
    os.open("next", os.O_WRONLY | os.O_CREAT)
    said = "opened"
except OSError as error:
    said = errno.errorcode[error.errno]
print(why, said, len(os.listdir(back)) - before)
os.close(end)
for child in children:
    os.waitpid(child, 0)
PYTHON
}

no_handles() {
    local python
    python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
    [ "${ROUNDS_PERCENT:-100}" -ge 30 ] || return 0 # in the slow builds it takes minutes
    launch "$bin/savesealfs" "$back" "$mnt"
    equal "when all handles are taken a new file is refused, and nothing is left of it" "$(all_handles)" "ENFILE ENFILE 0"
    umount "$mnt"
    has_ended || not_ok "a process is left"
}

if [ "${1:-}" = private ]; then
    "$2"
    exit $failed
fi
for part in in_background odd_names refusals messages over_itself read_only no_xattrs two_mounts few_descriptors no_handles terminated; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
for part in from_fstab unprivileged; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    unshare -m --propagation private "$(dirname "$0")/lib/alone.sh" "$0" private $part || not_ok "$part"
done
exit $failed
