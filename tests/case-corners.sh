#!/bin/bash
# What the preload library meets seldom: clocks that move in ticks, streams that nobody closes, daemon(), files without a
# name, and directories of savesealfs.
# shellcheck disable=SC2016,SC2154,SC2317  # commands are for an inner shell; parts are called by name
BACKEND=preload
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
corners=$TEST_BIN_DIR/corners
library=$work/run/preload/libsaveseal-preload.so
tool=$work/run/tools/saveseal

under() { "$tool" run --dir "$mnt" -- "$@"; }

# An edit that is over before the clock's next tick is an edit all the same; one that changes nothing is none.
ticks() {
    printf '%s\n' "00 of 1000" >"$work/image"
    under cp "$work/image" "$mnt/edited"
    cat >"$work/edit.py" <<'PY'
import os, sys
path, lost = sys.argv[1], 0
for i in range(1, 31):
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"%02d" % i, 0)
    os.close(fd)
    with open(path, "rb") as file:
        lost += file.read(2) != b"%02d" % i
before = os.stat(path)
os.close(os.open(path, os.O_RDWR))
print(lost, os.stat(path).st_ino == before.st_ino)
PY
    equal "30 edits, each within a tick: none is lost; the next one changes nothing" \
        "$(SAVESEAL_DIRS=$mnt LD_PRELOAD="$TEST_BIN_DIR/ticks.so:$library" "$python" "$work/edit.py" "$mnt/edited")" "0 True"
    equal "it is sealed" "$(entry "$mnt" edited)" "image sealed intact"
}

streams() {
    under "$corners" fdopen "$mnt/left-open"
    equal "fdopen, and nobody closes it: all of it is saved" "$(cat "$mnt/left-open")" "all of it"
    mkdir "$mnt/many"
    under "$corners" streams "$mnt/many" 1200
    equal "of 1,200 at a time each is whole" "$(cat "$mnt"/many/* | sort | uniq -c | tr -s ' ')" " 1200 all of it"
    under "$corners" closed-under "$mnt/closed-under"
    equal "the descriptor closed below it: what was flushed is saved" "$(cat "$mnt/closed-under")" "all of it"
    under timeout 20 "$corners" locked "$mnt/locked"
    equal "the end does not wait for a thread that has a stream" $? 0
    equal "and what is in its buffer is missing: that is no image" "$(entry "$mnt" locked)" \
        "draft interrupted write-failed write failed: Input/output error"
}

daemons() {
    under "$corners" daemon "$mnt/daemon"
    check "a daemon writes to what it had open before" wait_until 10 test -s "$mnt/daemon.said"
    equal "its close() says" "$(cat "$mnt/daemon.said")" closed
    equal "it is an image" "$(entry "$mnt" daemon)" "image sealed intact"
}

unnamed() {
    equal "a file without a name can not be protected" "$(under "$corners" unnamed "$mnt")" EOPNOTSUPP
    equal "by a relative name neither" "$(cd "$mnt" && under "$corners" unnamed .)" EOPNOTSUPP
    equal "elsewhere it can be had" "$(under "$corners" unnamed "$work")" opened
}

# Other ways to close it, and to hand it on.
ways() {
    local way
    for way in closefrom fexecve sendmmsg; do
        under "$corners" "$way" "$mnt/$way"
        equal "$way" "$? $(cat "$mnt/$way") $(entry "$mnt" "$way")" "0 all of it image sealed intact"
    done
    under "$python" -c 'import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute("create table t (n)")
base.commit()
base.close()' "$mnt/base"
    equal "a library that was loaded later opens and closes" "$? $(entry "$mnt" base)" "0 image sealed intact"
}

# Rights that come with a program (root has them already): no library is loaded into it.
rights() {
    mkdir "$work/programs"
    cp /bin/true "$work/programs/group"
    chown 0:65534 "$work/programs/group"
    chmod 2755 "$work/programs/group"
    cp /bin/true "$work/programs/capable"
    "$python" -c 'import os, struct, sys
os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))' "$work/programs/capable"
    for program in group capable; do
        setpriv --reuid 65534 --regid 0 --clear-groups "$tool" run --dir "$mnt" -- "$work/programs/$program" 2>"$work/said"
        equal "with rights of its own ($program): not started" $? 126
        check "and why" grep -q "more rights than its caller" "$work/said"
    done
}

# What the library itself can not do: it ends the program, unless it is to go on.
permissive() {
    SAVESEAL_DIRS=relative LD_PRELOAD=$library /bin/true 2>"$work/said"
    equal "settings that are wrong: the program is ended" $? 126
    check "and why" grep -q "takes absolute names" "$work/said"
    SAVESEAL_DIRS=relative SAVESEAL_PERMISSIVE=1 LD_PRELOAD=$library "$corners" fdopen "$mnt/plain" 2>"$work/said"
    equal "permissive: it goes on, unprotected" "$? $(entry "$mnt" plain)" "0 image unsealed unsealed"
    check "and is told" grep -q "takes absolute names" "$work/said"
}

# On a mount of savesealfs, or in a directory on it, the library has nothing to do; nor where one is mounted below what it
# protects.
case_cleanup() {
    [ -z "${aside-}" ] || umount "$aside"
}
aside() {
    local dir
    aside=$mnt/below
    mkdir "$work/aside" "$aside"
    "$SAVESEALFS" "$work/aside" "$aside" 2>"$work/aside.log"
    mkdir "$aside/sub"
    ln -s "$aside" "$work/link"
    echo first >"$aside/image"
    for dir in "$aside" "$aside/sub" "$work/link" "$mnt"; do
        for _ in 1 2; do # one that is new, and one that is replaced
            check "saved through $dir" "$tool" run --dir "$dir" -- sh -c 'echo second >"$1"/by-name && echo second >"$2"' - \
                "$dir" "$aside/sub/image"
        done
    done
    equal "by the mount: no draft of the library's was there" "$(entry "$aside/sub" image)" "image sealed intact"
    equal "beside the mount it has its own" "$(entry "$mnt" by-name)" "image sealed intact"
    umount "$aside"
    aside=
}

# A library that can not be loaded is not left out without a word.
noexec() {
    aside=$work/noexec
    mkdir "$aside"
    mount -t tmpfs -o noexec none "$aside"
    mkdir "$aside/preload"
    cp "$library" "$aside/preload/"
    mv "$work/run/preload" "$work/run/kept"
    ln -s "$aside/preload" "$work/run/preload"
    under true 2>"$work/said"
    equal "on a file system without programs: not started" $? 126
    check "and why" grep -q "can not be loaded: is its file system mounted noexec" "$work/said"
    rm "$work/run/preload"
    mv "$work/run/kept" "$work/run/preload"
    umount "$aside"
    aside=
}

for part in ticks streams daemons ways rights permissive unnamed aside noexec; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
exit $failed
