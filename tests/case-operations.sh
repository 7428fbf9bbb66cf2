#!/bin/bash
# All that programs do with files, through the mount and in a plain directory.
# shellcheck disable=SC2016,SC2086,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/same.sh
. "$(dirname "$0")/lib/same.sh"
MANY=$(rounds 2000)
export MANY

# --- attributes ---

attributes() {
    same "chmod of an image" 'echo a >f; chmod 4751 f; stat -c %a f; chmod u+s,g+w f; chmod 000 f; cat f'
    same "chown of an image" 'echo a >f; chown 65534:100 f; stat -c "%u %g" f; chgrp 0 f; chmod 6755 f; chown 1:1 f; stat -c %a f'
    same "umask" 'umask 027; echo a >f; mkdir d; umask 0; echo a >g; mkdir e; umask 777; : >h; mkfifo p
        umask 022; calls attempt i "WRONLY|CREAT" 777; calls attempt j "WRONLY|CREAT" 6755; calls ask mkdir k 0o3777'
    same "fchmod, fchown, fsetxattr, ftruncate of a draft" 'calls descriptor f; calls descriptor f'
    same "the same after it is published" 'calls published f; calls published f'
    same "truncate" 'truncate -s 100000 f; truncate -s 3 f; echo abc >>f; truncate -s +1000 f; truncate -s 0 f; truncate -s 5 f
        calls ask truncate f -1; calls ask truncate none 1'
    same "statfs" 'stat -f -c "%s %S %b %l" .; echo a >f; stat -f -c "%s %S %b %l" f'
    same "access(2)" 'for m in 000 400 020 001 755 644 666; do : >f$m; chmod $m f$m; done; mkdir -m 711 d
        calls access f* d none; as_nobody calls access f* d none d/none'
    same "attributes of special files" 'mkfifo p; ln -s p l; chmod 604 p; chown 7:8 p; chown -h 1:1 l; chown 2:2 l
        setfattr -n user.x -v 1 p; setfattr -h -n trusted.x -v 1 l; getfattr -h -d -m trusted l; setfacl -m u:7:rw p'
}

times() {
    same "touch -d" 'echo a >f; touch -d 2001-02-03T04:05:06.123456789Z f; stat -c "%y %Y" f; touch -a -d @77 f; stat -c "%X %Y" f'
    same "touch of a directory and a link" 'mkdir d; ln -s f l; touch -d @5 d; touch -h -d @6 l; stat -c "%Y %n" d l'
    same "utimens on a draft's descriptor, mtime" 'calls times f; calls times f'
    same "utimens on a draft's descriptor, atime" 'calls times f atime; calls times f atime'
    same "cp -p keeps the time" 'echo a >f; touch -d @1000000000.5 f; cp -p f g; stat -c "%.9Y" g; cp -p f g; mv g h; stat -c "%.9Y" h'
}

written_time() {
    local before after at
    before=$(date +%s%N)
    (
        echo one
        sleep 0.1
        echo two
        date +%s%N >"$work/after"
        sleep 0.3
    ) >"$mnt/timed"
    after=$(cat "$work/after")
    at=$(date -d "$(stat -c %y "$mnt/timed")" +%s%N)
    # The clock that files get their times from may be 10 ms behind.
    check "the time of a published image is that of its last write" \
        test "$at" -ge $((before + 90000000)) -a "$at" -le "$after"
}

allocation() {
    same "fallocate" 'echo abc >f; calls allocate f 0 0 100000; calls allocate g 0 1000 5000; calls allocate f 0 5 0'
    same "fallocate KEEP_SIZE" 'echo abc >f; calls allocate f 1 0 100000; calls allocate g 1 0 5000; calls allocate g 1 90000 1'
    same "fallocate PUNCH_HOLE" 'seq 50000 >f; sync f; calls allocate f 3 8192 65536; calls allocate f 2 0 9; calls data f'
    same "fallocate ZERO_RANGE" 'seq 50000 >f; calls allocate f 16 5000 70000; calls allocate f 17 280000 90000
        calls allocate f 16 280000 90000'
    same "fallocate in a draft that is read meanwhile" 'calls holes f; calls holes f'
    same "fallocate with an unknown mode" 'seq 50000 >f; calls allocate f 1024 4096 8192'
    seq 50000 >"$mnt/shift" # FUSE has no way to ask for these
    equal "fallocate INSERT_RANGE" "$(calls allocate "$mnt/shift" 32 4096 8192)" "ENOTSUP 288894"
    equal "fallocate COLLAPSE_RANGE" "$(calls allocate "$mnt/shift" 8 4096 8192)" "ENOTSUP 288894"
    equal "fallocate UNSHARE_RANGE" "$(calls allocate "$mnt/shift" 64 4096 8192)" "ENOTSUP 288894"
    check "are refused and change nothing" cmp -s "$mnt/shift" <(seq 50000)
    same "lseek DATA and HOLE, in a draft and an image" 'calls draftdata f; sync f; calls data f; calls draftdata f
        truncate -s 9M f; sync f; calls data f'
}

extended_attributes() {
    same "user xattrs" 'echo a >f; mkdir d; for x in f d; do setfattr -n user.one -v 1 $x; setfattr -n user.two -v 2 $x
        setfattr -x user.one $x; setfattr -x user.none $x; getfattr -n user.none $x; getfattr -d $x | grep -v saveseal; done'
    same "trusted xattrs" 'echo a >f; setfattr -n trusted.x -v 1 f; getfattr -d -m - f | grep -v saveseal
        as_nobody getfattr -d -m trusted f; as_nobody getfattr -n trusted.x f'
    same "xattr flags" 'echo a >f; for how in 1 1 2; do calls ask setxattr f user.x value $how; done
        calls ask setxattr f user.none value 2; calls ask getxattr f user.x; calls ask getxattr f user.none'
    same "security xattrs" 'echo a >f; mkdir -m 777 d; chmod 666 f; setfattr -n security.x -v 1 f; as_nobody bash -c "
        setfattr -n security.y -v 1 f; setfattr -n security.capability -v 0x01000002$(printf %032d 0 | tr 0 f) d"'
    same "xattrs of another's file" 'echo a >f; as_nobody setfattr -n user.x -v 1 f; as_nobody setfattr -n trusted.x -v 1 f
        setfattr -n user.y -v 1 f; chmod 600 f; as_nobody getfattr -n user.y f; as_nobody setfattr -x user.y f
        chmod 666 f; as_nobody setfattr -n user.z -v 1 f; as_nobody setfattr -n trusted.x -v 1 f'
    same "file capabilities go when the file is written" 'cp /bin/true f; setcap cap_net_raw+p f; getcap f
        echo x >>f; getcap f; setcap cap_net_raw+p f; echo x | as_nobody tee -a f; chmod 777 f; as_nobody tee f </dev/null; getcap f'
    same "odd sizes" 'echo a >f; setfattr -n user.empty -v "" f; setfattr -n user.$(head -c 300 /dev/zero | tr "\0" n) -v 1 f
        setfattr -n user.big -v $(head -c 2000 /dev/zero | tr "\0" x) f'
}

seals() {
    local name
    echo image >"$mnt/sealed"
    mkdir "$mnt/dir"
    check "the seal is readable" \
        grep -q '^saveseal/1 ' <(getfattr --absolute-names --only-values -n user.saveseal.seal "$mnt/sealed")
    # Copying tools do that; it does nothing.
    check "setting it is accepted" setfattr -n user.saveseal.seal -v x "$mnt/sealed"
    check "removing it as well" setfattr -x user.saveseal.seal "$mnt/sealed"
    for name in draft backing other; do
        refused "setting user.saveseal.$name on an image" "Operation not permitted" \
            setfattr -n "user.saveseal.$name" -v x "$mnt/sealed"
        refused "removing it" "Operation not permitted" setfattr -x "user.saveseal.$name" "$mnt/sealed"
        refused "setting it on a directory" "Operation not permitted" setfattr -n "user.saveseal.$name" -v x "$mnt/dir"
    done
    refused "a draft's record is nothing to see" "No such attribute" getfattr -n user.saveseal.draft "$mnt/sealed"
    check "and the seal is what it was" intact "$mnt/sealed"
}

# --- names ---

names() {
    same "mkdir and rmdir" 'mkdir a a/b; mkdir a; rmdir a; rmdir a/b a; rmdir a; mkdir -m 2751 c; mkdir x/y; : >f; mkdir f; rmdir f'
    same "rename" 'echo 1 >a; echo 2 >b; mkdir d e e/f; mv a c; mv -T c b; mv b d; mv -T d g; mv -T e g; mv -T g e
        mv -T g/b e; mv none x; mv g/b "$PWD"'
    same "rename over a directory" 'mkdir d e; : >f; mv -T f d; mv -T d f; mv -T d e; mv e e; mv -T e e/e'
    same "rename NOREPLACE" 'echo 1 >a; echo 2 >b; calls rename a b noreplace; calls rename a c noreplace; mkdir d
        calls rename a d noreplace; calls rename c d noreplace'
    same "rename EXCHANGE" 'echo 1 >a; seq 9000 >b; mkdir d; echo 3 >d/x; calls rename a b exchange; calls rename a c exchange
        calls rename a d exchange; head -c 3 a b d'
    same "symlink and readlink" 'ln -s nowhere l; ln -s l m; readlink l m; cat m; echo a >nowhere; cat m; ln -s . d
        cat d/d/m; ln -s m m; echo b >m; cat nowhere; ln -s "$(head -c 4000 /dev/zero | tr "\0" y)" long; ln -s o o; cat o'
    same "hard link" 'echo a >f; ln f g; ln f g; stat -c %h f; mkdir d; ln f d/h; rm f; cat g d/h; ln d e; ln none x
        chmod 600 g; stat -c %a d/h'
    same "unlink" 'echo a >f; rm f; rm f; mkdir d; rm d; unlink d; ln -s f l; rm l; calls gone g
        echo b >f; exec 3<f; rm f; cat <&3; echo c >f'
    same "long and odd names" 'n=$(head -c 255 /dev/zero | tr "\0" n); echo a >$n; echo a >${n}n; echo b >"a
b"; echo c >"$(printf "\377\\ ")"; echo d >-; echo e >.f; echo g >.saveseal; echo h >.savesea; echo i >.savesealed
        mv $n x; echo j >"$(printf "\377\n %%=%.0s" {1..51})"; echo k >"$(printf "\303\274%.0s" {1..127})"
        echo l >"$(printf "\001\177")"; ls -a | cat -v'
    same "open flags" 'echo a >f; mkdir d; ln -s f l; for name in f d l none; do
        for flags in "RDONLY|DIRECTORY" "RDWR|NOFOLLOW" "RDONLY|NOFOLLOW" "WRONLY|CREAT|EXCL" RDWR "RDONLY|TRUNC" \
            "WRONLY|CREAT" "WRONLY|SYNC" "WRONLY|APPEND|DSYNC" "RDONLY|NOATIME" PATH; do
            echo "$name $flags $(calls attempt $name "$flags")"; done; done'
    same "made by an open that only reads" 'for flags in "RDONLY|CREAT" "RDONLY|CREAT|EXCL" "RDONLY|CREAT|TRUNC"; do
        calls attempt "$flags" "$flags" 400; ls; calls attempt "$flags" "$flags"; done; as_nobody calls attempt none "RDONLY|CREAT"
        umask 777; calls attempt h "RDONLY|CREAT" 666; umask 022; chmod 777 .; as_nobody calls attempt h "RDONLY|CREAT"
        as_nobody calls attempt theirs "RDONLY|CREAT" 4751; stat -c "%n %u %a %s" *; echo a >h; cat h'
    same "a lock on a file that is made for it" 'mkfifo p; flock l bash -c "echo >p; read <p" & read <p
        try flock -n l true; echo >p; wait; try flock -n l true'
    same "numbers and types in listings" 'mkdir d; echo a >f; ln -s f l; mkfifo p; calls inodes; echo b >f; calls inodes'
}

special_files() {
    same "fifo" 'mkfifo p; echo through >p & cat p; wait; cat p & echo again >p; wait; stat -c %F p; rm p'
    same "unix socket" 'calls meet s; stat -c %F s'
    same "device nodes" 'mknod null c 1 3; mknod z c 1 5; mknod b b 7 200; stat -c "%F %t %T" null z b
        calls device null; head -c 4 z | od; chmod 600 null; as_nobody calls device null; as_nobody mknod n c 1 3'
    same "a file made by mknod" 'calls node f; stat -c "%s %a" f; echo a >f'
}

directories() {
    same "a directory renamed while a draft in it is open" 'mkdir d; echo x >d/other; calls movedir d e; sha256sum e/image'
    same "the same over an old version" 'mkdir d; echo old >d/image; calls movedir d e; mkdir f; echo old >f/image
        exec 3>>f/image; echo 1 >&3; mv f e/; echo 2 >&3; exec 3>&-; cat e/f/image'
    same "a draft moved to another directory, also over an old version" 'mkdir d; echo old >d/g; for new in f g; do exec 3>x
        echo 1 >&3; mv x d/$new; echo 2 >&3; exec 3>&-; cat d/$new; done'
    same "a working directory that is renamed, then removed" 'mkdir d; cd d; mv ../d ../e; echo x >f; ls ../e; rm f
        rmdir ../e; echo y >f; cd ..; ls'
    same "2,000 files, each name once" 'for i in $(seq $MANY); do : >n$i; done; ls | sort | uniq -c | sort -rn | head -n 1
        ls | wc -l; find . -type f | wc -l; rm n1*; ls | wc -l'
    same "while files are made and removed" 'mkdir d; for i in $(seq $MANY); do : >d/n$i; done; calls listing d n '"$(rounds 40)"
    same "removed while they are listed" 'for i in {1..500}; do : >n$i; done; find . -type f -delete; ls'
    same "types and parents" 'mkdir d; : >f; ln -s f l; mkfifo p; find . -printf "%y %p\n" | sort; cd d; ls -a'
}

draft_begun() { [ -n "$(find "$back/here" -type f)" ]; }

# Somebody else handles a directory in which a save goes on, or failed.
directories_with_drafts() {
    local writer
    mkdir "$mnt/here"
    touch "$work/hold"
    "$TEST_BIN_DIR/writer" "$mnt/here/image" create write:100K "hold:$work/hold" write:1K close &
    writer=$!
    check "a save has begun in a directory" wait_until 10 draft_begun
    check "the directory can be renamed" mv "$mnt/here" "$mnt/there"
    refused "but not removed" "not empty" rmdir "$mnt/there"
    rm "$work/hold"
    wait $writer
    equal "the save goes with it" "$(entry "$mnt/there" image)" "image sealed intact"
    rm "$mnt/there/image"
    timeout 60 "$TEST_BIN_DIR/writer" "$mnt/there/image" create write:100K kill:9 2>/dev/null
    equal "a directory with an interrupted draft looks empty" "$(find "$mnt/there" -mindepth 1)" ""
    refused "and can not be removed either" "not empty" rmdir "$mnt/there"
}

reserved_names() {
    local hidden=.saveseal.0123456789abcdef name
    echo hidden >"$back/$hidden"
    echo image >"$mnt/visible"
    refused "stat" "No such file" stat "$mnt/$hidden"
    refused "open" "No such file" cat "$mnt/$hidden"
    refused "unlink" "No such file" unlink "$mnt/$hidden"
    refused "chmod" "No such file" chmod 600 "$mnt/$hidden"
    refused "rename" "No such file" mv -T "$mnt/$hidden" "$mnt/x"
    equal "it is not in a listing" "$(find "$mnt" -maxdepth 1 -name '.saveseal.*' | wc -l)" 0
    for name in "$hidden" .saveseal. .saveseal.x; do
        refused "create $name" "Operation not permitted" bash -c "echo x >'$mnt/$name'"
        refused "mkdir $name" "Operation not permitted" mkdir "$mnt/$name"
        refused "rename to $name" "Operation not permitted" mv -T "$mnt/visible" "$mnt/$name"
        refused "link to $name" "Operation not permitted" ln "$mnt/visible" "$mnt/$name"
        refused "symlink $name" "Operation not permitted" ln -s x "$mnt/$name"
        refused "mknod $name" "Operation not permitted" mkfifo "$mnt/$name"
    done
    equal "what is behind it is untouched" "$(cat "$back/$hidden")" hidden
    rm "$back/$hidden"
}

# P7. What the kernel remembers of an image it may show for a second, unless the mount is told that others change the directory.
other_ways() {
    echo one >"$mnt/remembered"
    check "an image that was looked at" wait_until 5 intact "$mnt/remembered"
    echo another >"$back/new" && mv "$back/new" "$back/remembered"
    check "replaced in the backing directory: that shows soon" wait_until 5 grep -q another "$mnt/remembered"
    rm "$back/remembered"
    check "removed there: that shows soon" wait_until 5 test ! -e "$mnt/remembered"
    stop_daemon || not_ok "the daemon did not end with status 0"
    start_daemon -o dev,suid,shared
    shared_directory
    stop_daemon || not_ok "the daemon did not end with status 0"
    start_daemon -o dev,suid
}
shared_directory() {
    mkdir "$back/deep"
    echo "from elsewhere" >"$back/deep/foreign"
    equal "a file made in the backing directory is shown as it is" "$(cat "$mnt/deep/foreign")" "from elsewhere"
    equal "and is unsealed" "$(entry "$mnt/deep" foreign)" "image unsealed unsealed"
    echo "again" >>"$back/deep/foreign"
    equal "changed there" "$(cat "$mnt/deep/foreign")" "from elsewhere"$'\n'"again"
    mv "$back/deep/foreign" "$back/deep/moved"
    refused "renamed there, it is gone" "No such file" cat "$mnt/deep/foreign"
    equal "and shows under its new name" "$(cat "$mnt/deep/moved")" "from elsewhere"$'\n'"again"
    echo saved >"$mnt/deep/moved"
    check "saved over, it is sealed" intact "$mnt/deep/moved"
    rm "$back/deep/moved"
    refused "removed there" "No such file" cat "$mnt/deep/moved"
    seq 5000 >"$back/other"
    check "made there" cmp -s "$mnt/other" <(seq 5000)
    seq 7000 >"$back/new" && mv "$back/new" "$back/other"
    check "replaced there" cmp -s "$mnt/other" <(seq 7000)
    cp "$mnt/other" "$back/copy"
    intact "$mnt/copy"
    equal "a plain copy of an image is unsealed" $? 4
    echo x >>"$mnt/copy"
    check "and sealed when it is changed through the mount" intact "$mnt/copy"
    ln "$mnt/other" "$mnt/second"
    echo edited >>"$mnt/second"
    check "an image with two names, edited under one: the other keeps the old version" cmp -s "$mnt/other" <(seq 7000)
    equal "and the edited one has the new" "$(tail -n 1 "$mnt/second")" edited
}

# chattr protects from every change, and the mount must not take what it can not put in place.
protected_files() {
    echo old >"$back/immutable"
    if ! chattr +i "$back/immutable" 2>/dev/null; then
        rm "$back/immutable" # not with this file system
        return
    fi
    refused "a save over an immutable file" "Operation not permitted" bash -c "echo new >'$mnt/immutable'"
    refused "an edit of it" "Operation not permitted" bash -c "echo new >>'$mnt/immutable'"
    chattr -i "$back/immutable"
    chattr +a "$back/immutable"
    refused "a save over an append-only file" "Operation not permitted" bash -c "echo new >'$mnt/immutable'"
    chattr -a "$back/immutable"
    equal "it stays" "$(cat "$mnt/immutable")" old
    equal "without a draft" "$(entry "$mnt" immutable | grep -c draft)" 0
}

# --- users ---

users() {
    same "a user's files are his" 'mkdir -m 777 d; cd d; umask 022; as_nobody sh -c "echo a >f; mkdir d; ln -s f l; mkfifo p
        umask 077; echo a >g; chown 0 f; chgrp 0 f; mknod n c 1 3; :"; stat -c "%u %g %a %n" *'
    same "another's file" 'echo secret >f; chmod 600 f; echo a >g; chmod 777 .; as_nobody bash -c "cat f; echo x >>f; echo x >f
        echo x >g; echo x >>g; cat g; chmod 777 g; chown 65534 g; chgrp 65534 g; touch g; touch -d @5 g; truncate -s 0 g
        truncate -s 9 f; ln g h; ln f h; mv g i; rm -f i f"; ls'
    same "a directory without write permission" 'mkdir d; echo a >d/f; chmod 666 d/f; as_nobody bash -c "echo b >d/f; cat d/f
        echo c >>d/f; truncate -s 3 d/f; echo a >d/g; rm d/f; mv d/f d/g; mkdir d/d; ln d/f d/g; ln -s x d/l; mkfifo d/p
        echo e 1<>d/f; chmod 777 d/f; chown 65534 d/f; touch d/f; touch -d @5 d/f; setfattr -n user.x -v 1 d/f; :"'
    same "a directory without search permission" 'mkdir d; echo a >d/f; chmod 666 d/f; chmod 766 d
        as_nobody bash -c "cat d/f; echo x >d/f; echo x >d/g; ls d; cd d"; chmod 711 d; as_nobody bash -c "cat d/f; ls d; echo x >d/f"
        chmod 700 d; as_nobody bash -c "cat d/f; echo x >d/f; truncate -s 1 d/f; chmod 777 d/f; touch d/f; mv d/f .; rm d/f"'
    same "a sticky directory" 'mkdir -m 1777 d; echo a >d/f; chmod 666 d/f; as_nobody bash -c "rm -f d/f; mv d/f d/g
        echo b >>d/f; echo c >d/mine; mv d/mine d/f; mv d/mine d/own; rm d/own; cat d/f"
        setpriv --reuid 1 --regid 1 --clear-groups bash -c "echo b >d/his"; as_nobody bash -c "echo x >d/his; rm -f d/his"'
    same "a setgid directory" 'mkdir -m 2777 d; chgrp 100 d; cd d; echo a >f; mkdir d
        as_nobody bash -c "echo a >g; mkdir e; : >x; chmod 2775 x; echo a >e/f; install -m 2775 /dev/null y"
        as_member 100 bash -c "echo a >h; : >z; chmod 2775 z"; as_nobody calls attempt s "WRONLY|CREAT" 2775
        as_member 100 calls attempt t "WRONLY|CREAT" 2775; as_nobody chmod 6775 x; stat -c "%g %a %n" * */*'
    same "supplementary groups" 'mkdir -m 770 d; chgrp 100 d; echo a >d/f; chmod 660 d/f; chgrp 100 d/f
        as_member 100 bash -c "cat d/f; echo b >>d/f; echo c >d/g; rm d/g; echo d >d/h; chgrp 100 d/h; chgrp 50 d/h; :"
        as_member 50 bash -c "cat d/f; ls d; echo x >d/f"'
    same "a file that its owner may not write" 'chmod 777 .; as_nobody bash -c "umask 377; echo a >f; echo b >f; echo b >>f
        chmod 600 f; echo c >f; cp f g; chmod 444 g; cp f g; cp -f f g; umask 777; echo a >h; cat h; :"'
}

kept_attributes() {
    same "group write permission: owner, group, mode, ACL and xattrs stay" 'umask 0
        for how in ">f" ">>f" "| dd of=f conv=notrunc status=none" "| tee f"; do
            rm -f f; echo old >f; chown 1:100 f; chmod 664 f; setfacl -m u:7:rw f; setfattr -n user.note -v kept f
            as_member 100 bash -c "echo newer $how"; stat -c "%u %g %a" f; getfacl -nc f; getfattr -n user.note f; cat f; done'
    same "set-id bits go when another user writes" 'for mode in 4777 2777 6777; do for how in ">>f" "1<>f" ">f"; do
            echo old >f; chmod $mode f; as_nobody bash -c "echo new $how"; stat -c %a f; rm f; done; done'
    same "set-id bits go when another user truncates" 'for mode in 4777 2777 6777; do for how in "truncate -s 2 f" "truncate -s 0 f"; do
            echo old >f; chmod $mode f; as_nobody bash -c "$how"; stat -c %a f; rm f; done; done'
    same "set-id bits go when another user opens with O_TRUNC" 'for mode in 4777 2777 6777; do
            echo old >f; chmod $mode f; as_nobody bash -c ": >f"; stat -c %a f; rm f; done'
    same "set-id bits go when another user allocates or copies" 'for how in "os.posix_fallocate(f, 0, 9)" "os.copy_file_range(os.open(\"g\", 0), f, 2)"; do
            echo old >f; echo new >g; chmod 6777 f; as_nobody /usr/bin/python3 -c "import os; f = os.open(\"f\", os.O_RDWR); $how; os.close(f)"; stat -c %a f; rm f; done'
    same "set-id bits stay when root writes" 'echo old >f; chmod 6755 f; echo a >>f; stat -c %a f; echo a >f; stat -c %a f
        truncate -s 1 f; stat -c %a f; : >f; stat -c %a f'
}

acls() {
    same "a default ACL is inherited, the umask ignored" 'setfacl -d -m u::rwx,g::rx,o::---,u:65534:rwx,m::rwx .; umask 077
        echo a >f; mkdir d; echo a >d/f; cp /bin/true t; install -m 751 t i; mkfifo p; for x in f d d/f t i p; do getfacl -nc $x; done'
    same "in a setgid directory as well; copies keep their own" 'mkdir d; chmod 2770 d; setfacl -m d:u:12:rwx,d:g:13:r-x,d:o::- d
        cd d; umask 022; echo one >one; cp one two; mkdir dir; echo new >one; setfacl -m u:14:rw two; chmod g-w two
        echo new >two; cp -a two three; install -m 640 one four; getfacl -n *'
    same "a new version keeps its own ACL" 'echo a >f; setfacl -m u:65534:rw f; setfacl -d -m u:7:rw .; echo b >f
        echo c >>f; truncate -s 1 f; getfacl -nc f; echo a >g; getfacl -nc g'
    same "an ACL grants and denies" 'echo a >f; chmod 600 f; setfacl -m u:65534:rw f
        as_nobody bash -c "cat f; echo b >>f; echo c >f; setfacl -m u:7:r f; chmod 666 f; :"
        setfacl -m m::r f; as_nobody bash -c "cat f; echo x >>f"; setfacl -b f; as_nobody cat f
        mkdir -m 700 d; setfacl -m u:65534:rwx d; as_nobody bash -c "echo a >d/f"; stat -c "%u %g %a" d/f
        chmod 777 f; setfacl -m u:65534:--- f; as_nobody cat f'
    same "chmod changes the mask" 'echo a >f; setfacl -m u:7:rwx f; chmod 640 f; getfacl -nc f; chmod 771 f; getfacl -nc f
        setfacl -b f; stat -c %a f; setfacl -m g::rwx,o::r f; stat -c %a f'
    same "an ACL on a file that is being written" 'exec 3>f; echo a >&3; setfacl -m u:7:rw f; chmod 604 f
        setfattr -n user.x -v 1 f; chown 1:1 f; echo b >&3; exec 3>&-; getfacl -nc f'
    same "setfacl in a setgid directory" 'mkdir -m 2777 d; chgrp 100 d
        as_nobody bash -c ": >d/f; chmod 2777 d/f; setfacl -m g::rwx d/f; stat -c %a d/f"'
}

# --- content ---

contents() {
    same "a mapping of a draft" 'calls mapwrite f; sha256sum f; calls mapwrite f; echo old >g; calls mapwrite g'
    same "mappings of an image" 'seq 20000 >f; calls mapread f; head -n 1 f'
    same "writes with other flags" 'for flag in sync dsync nonblock noatime direct; do
        seq 300000 | head -c 8K | dd of=$flag bs=4k iflag=fullblock oflag=$flag status=none
        seq 9999 | head -c 4K | dd of=$flag bs=4k iflag=fullblock oflag=$flag conv=notrunc status=none; done'
    same "O_DIRECT writes" 'seq 300000 | head -c 1M | dd of=f bs=64k iflag=fullblock oflag=direct status=none
        seq 99999 | head -c 36K | dd of=f bs=4k iflag=fullblock seek=11 conv=notrunc oflag=direct status=none'
    same "O_DIRECT reads" 'seq 300000 | head -c 1000000 >f; dd if=f bs=64k iflag=direct status=none | sha256sum
        dd if=f bs=4k skip=7 count=3 iflag=direct status=none | sha256sum; echo x >>f; dd if=f bs=64k iflag=direct status=none | sha256sum'
    same "O_DIRECT writes and reads of one draft" 'calls direct f; calls direct f'
    same "a program is run" 'cp /bin/echo e; ./e it runs; cp /bin/true e; ./e; chmod 644 e; ./e; chmod 755 e
        printf "#!/bin/sh\necho script\n" >s; chmod 755 s; ./s; cp /usr/bin/id u; chmod 4755 u; as_nobody ./u -u'
    same "a program that is being written can not be run" 'exec 3>e; cat /bin/true >&3; chmod 755 e; try ./e; exec 3>&-; try ./e'
    same "flock and fcntl locks" 'calls lock f; calls lock f; try flock -n f true; exec 3<f; flock -s 3
        flock -n -s f echo shared; try flock -n f true'
    same "two descriptors of a draft" 'calls twice f; calls twice f'
    same "copies within the kernel" 'seq 30000 >f; calls copies f g; calls copies f g'
    same "a file copied to itself and its like" 'seq 9000 >f; cat f f >g; cat g >>f; cp f f; cat f >>f; head -c 99 f 1<>g >&1'
    same "one after the other in one descriptor" '(seq 1000; seq 5; bash -c "seq 7") >f; { seq 9; cat f; } >g
        exec 4<>f; read line <&4; echo over >&4; cat <&4 | tail -n 1'
    same "several writers in turn" 'for i in 1 2 3 4; do (for j in {1..50}; do echo $i $j; done) >>f & wait; done; sort f'
}

# A reader keeps the image that it has mapped while a new version is published.
mapped_reader() {
    local said old reader
    seq 30000 >"$mnt/mapped"
    old=$(seq 30000 | sha256sum)
    old=${old%% *}
    mkfifo "$work/go" "$work/ready"
    calls mapheld "$mnt/mapped" <"$work/go" >"$work/ready" &
    reader=$!
    exec 7>"$work/go" 8<"$work/ready"
    read -r said <&8
    equal "an image is mapped" "$said" mapped
    seq 40000 >"$mnt/mapped"
    check "a new version is published meanwhile" cmp -s "$mnt/mapped" <(seq 40000)
    exec 7>&-
    read -r said <&8
    exec 8<&-
    wait $reader
    equal "the mapping and the descriptor keep the old one" "$said" "$old $old"
}

start_daemon -o dev,suid
for part in attributes times written_time allocation extended_attributes seals names special_files directories directories_with_drafts \
    reserved_names other_ways protected_files users kept_attributes acls contents mapped_reader; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
check "unmounting ends the daemon with status 0" stop_daemon
exit $failed
