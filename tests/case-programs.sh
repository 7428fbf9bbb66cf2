#!/bin/bash
# Real programs save through the mount: they leave what they leave in a plain directory, all of it sealed, and no draft stays.
# shellcheck disable=SC2016,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/same.sh
. "$(dirname "$0")/lib/same.sh"

for program in git qemu-img rsync setfacl setfattr; do
    command -v $program >/dev/null || skip "no $program"
done

# For the commands: the sources of version $V stand in $S/$V, a disk in $D.
export S=$work/source D=$work/source/disk V=1 PYTHON=$python
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_AUTHOR_DATE='2020-01-01 00:00 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a GIT_COMMITTER_DATE='2020-01-01 00:00 +0000'
stamps='stat -c "%n %Y" $(find . -type f | sort)' # a command that prints the times of all files

make_sources() {
    local v tree
    for v in 1 2; do
        tree=$S/$v/tree
        mkdir -p "$tree/sub/deep" "$tree/empty"
        seq $((v * 30000)) >"$tree/numbers"
        head -c 400K /dev/urandom >"$tree/noise"
        echo "#!/bin/sh" >"$tree/sub/script"
        : >"$tree/sub/nothing"
        truncate -s 6M "$tree/sub/sparse"
        seq 9000 | dd of="$tree/sub/sparse" bs=1M seek=$((v + 1)) conv=notrunc status=none
        ln "$tree/numbers" "$tree/sub/deep/linked"
        ln -s ../numbers "$tree/sub/symbolic"
        ln -s nowhere "$tree/sub/dangling"
        mkfifo "$tree/sub/fifo"
        chmod 751 "$tree/sub/script"
        chmod 2775 "$tree/sub/deep"
        chown 65534:100 "$tree/noise" "$tree/sub"
        setfattr -n user.note -v "version $v" "$tree/noise"
        setfacl -m u:65534:rw "$tree/noise"
        touch -d @$((1000000000 + v)).25 "$tree/noise" "$tree/sub/script"
        tar -C "$S/$v" --xattrs --acls -cf "$S/$v/archive.tar" tree
        gzip -n -k "$S/$v/archive.tar"
    done
    truncate -s 24M "$D"
    dd if="$S/1/tree/noise" of="$D" bs=64k seek=5 conv=notrunc status=none
    dd if="$S/2/tree/noise" of="$D" bs=64k seek=200 conv=notrunc status=none
}

# saves TEXT COMMANDS: into an empty directory, then version 2 over what is there.
saves() {
    V=1 same "$1" "$2"
    V=2 again "$1, over the old version" "$2"
}

writers() {
    saves "dd" 'dd if=$S/$V/tree/noise of=f bs=7k status=none
        dd if=$S/$V/tree/noise of=g bs=64k conv=fsync status=none'
    saves "dd conv=notrunc" 'dd if=$S/$V/tree/numbers of=f bs=1k seek=100 conv=notrunc status=none
        dd if=$S/$V/tree/numbers of=f bs=999 count=5 conv=notrunc,fdatasync status=none'
    saves "dd oflag=direct" 'dd if=$S/$V/tree/noise of=f bs=4k oflag=direct status=none
        dd if=f of=g bs=4k iflag=direct oflag=direct,append conv=notrunc status=none'
    saves "dd oflag=append" 'dd if=$S/$V/tree/noise of=f bs=7k oflag=append conv=notrunc status=none'
    saves "dd conv=sparse" 'dd if=$S/$V/tree/sub/sparse of=f bs=64k conv=sparse status=none
        sync f; calls data f'
    saves "cat >" 'cat $S/$V/tree/noise $S/$V/tree/numbers >f'
    saves ">>" 'cat $S/$V/tree/noise >>f; cat f >>g'
    saves "tee" 'tee f g <$S/$V/tree/noise | tee -a h >i'
    saves "a program that fails in a pipe" 'false | cat >f; { cat $S/$V/tree/noise; false; } | cat >g'
    saves "truncate" 'truncate -s ${V}M f; truncate -r f g; truncate -s -1000 f; truncate -s %4096 f'
    saves "fallocate" 'fallocate -l ${V}M f; echo x | dd of=f seek=9 conv=notrunc status=none
        fallocate -d f; fallocate -n -l 9M f'
    saves "shred" 'cp $S/$V/tree/numbers f; chmod 600 f; shred --random-source=$S/1/tree/sub/sparse -n 1 f'
    saves "install" 'install -m 4751 -o 65534 -g 100 $S/$V/tree/sub/script f; install -d -m 2775 d
        install -D $S/$V/tree/noise d/e/f; install -p $S/$V/tree/noise p; stat -c %Y p'
    saves "python" '$PYTHON -c "
import os, shutil, tempfile
tree = os.environ[\"S\"] + \"/\" + os.environ[\"V\"] + \"/tree/\"
data = open(tree + \"noise\", \"rb\").read()
with open(\"f\", \"wb\") as file: file.write(data)
with open(\"f\", \"r+b\") as file: file.seek(1000); file.write(b\"edited\"); file.truncate(5000)
with open(\"g\", \"ab\", buffering=0) as file: file.write(data); file.write(b\"end\")
with tempfile.NamedTemporaryFile(dir=\".\", delete=False) as file: file.write(data)
os.replace(file.name, \"h\")
shutil.copyfile(\"h\", \"i\"); shutil.copy2(\"f\", \"j\"); shutil.copytree(tree + \"empty\", \"k\", dirs_exist_ok=True)
with open(\"x\", \"w\") as one, open(\"x\") as two: one.write(\"seen\"); one.flush(); print(two.read())
"'
}

filters() {
    saves "sed -i" 'cp $S/$V/tree/numbers f; chmod 640 f; sed -i s/9/nine/ f; sed -i.old /7/d f'
    saves "sort -o its input" 'cp $S/$V/tree/numbers f; sort -r -o f f; sort -u -o f f f; shuf --random-source=f -o f f'
    saves "split, csplit" 'split -b 100K $S/$V/tree/noise part; cat part* >whole; cmp whole $S/$V/tree/noise
        csplit -s -n 1 $S/$V/tree/numbers 100 200'
    saves "gzip and gunzip" 'cp $S/$V/tree/numbers $S/$V/tree/noise .; gzip -nf noise; gzip -nc numbers >n.gz
        gunzip -f noise.gz; gunzip -kfc n.gz >n'
    saves "perl -i, awk and mv" 'cp $S/$V/tree/numbers f; perl -pi -e "s/1/one/" f; awk 1 f >f.new && mv f.new f'
    saves "patch" 'seq 1000 >f; sed s/5/five/ f | diff -u --label f --label f f - | cat >p; patch -s f p; patch -s -R f p; patch -s -b f p'
}

copies() {
    saves "cp" 'cp $S/$V/tree/noise $S/$V/tree/numbers .; cp noise n; cp numbers noise'
    saves "cp -a" "cp -aT \$S/\$V/tree t; $stamps"
    saves "cp -a within the mount" "cp -a \$S/\$V/tree a; rm -rf b; cp -a a b; $stamps"
    saves "cp --sparse=always" 'cp --sparse=always $S/$V/tree/sub/sparse f; cp --sparse=never f g
        cp --sparse=always g h; sync f h; calls data f; calls data h'
    saves "cp with other options" 'cp --reflink=auto $S/$V/tree/noise f; cp --attributes-only -p $S/$V/tree/noise g
        cp -b $S/$V/tree/numbers f; chmod 444 f; cp -f $S/$V/tree/noise f; cp -lf f l; cp -u $S/$V/tree/noise u
        cp --remove-destination f u'
    saves "several at a time" 'mkdir -p d; cp $S/$V/tree/n* d/
        seq 24 | xargs -P 4 -I N sh -c "cp d/numbers d/N; cat d/noise >>d/N; mv d/N N.done; sed -i 3d N.done"'
    # Without a mount it is the same file system: what is renamed into it comes by another way than a save.
    [ "${BACKEND:-mount}" = preload ] || saves "mv into the mount" "cp -a \$S/\$V \$S/moved; rm -rf t; mv \$S/moved/tree t; mv \$S/moved/archive.tar a
        rm -r \$S/moved; $stamps"
    saves "mv within the mount" 'cp -a $S/$V/tree/noise x; mv x y; mkdir -p d; mv -f y d/; mv -b d/noise .; mv d/y d/z
        mv -n d/z y; stat -c "%n %Y" y'
    saves "mv out of it" 'cp -a $S/$V/tree/noise x; mv x $S/out; cmp $S/out $S/$V/tree/noise; ls; rm $S/out'
    saves "ln -f" 'cp $S/$V/tree/noise f; ln -f f g; ln -sf f h; ln -f g h; cp $S/$V/tree/numbers new; mv new f'
}

trees() {
    saves "rsync -a" "rsync -a \$S/\$V/tree/ t/; $stamps"
    saves "rsync -aHAXS --delete" "rsync -aHAXS --delete \$S/\$V/tree/ t/; $stamps"
    saves "rsync --inplace" "rsync -a --inplace --no-whole-file \$S/\$V/tree/ t/; $stamps"
    saves "rsync --append" 'cp $S/1/tree/numbers .; rsync --append $S/2/tree/numbers .
        rsync --append-verify $S/2/tree/numbers $S/$V/tree/sub/script .'
    saves "rsync with a temporary directory, by differences, with backups" "mkdir -p tmp
        rsync -a --no-whole-file -T \$PWD/tmp --partial -b --suffix=.old \$S/\$V/tree/n* .; $stamps"
    saves "rsync --link-dest" 'rsync -a $S/$V/tree/noise one/; rm -rf two
        rsync -a --link-dest=../one $S/$V/tree/noise two/; stat -c %h one/noise'
    saves "rsync within the mount" "rsync -a \$S/\$V/tree/ t/; rm -rf u; rsync -aH --checksum t/ u/; $stamps"
    saves "tar x" "tar xpf \$S/\$V/archive.tar --xattrs --acls; $stamps"
    saves "tar x, other options" 'tar xzpf $S/$V/archive.tar.gz --unlink-first --recursive-unlink --sparse
        tar cf out.tar -S --sort=name -C $S/$V tree; tar xf out.tar --overwrite'
    saves "tar c" 'tar xpf $S/$V/archive.tar; tar cf a.tar --sort=name --mtime=@0 -C tree noise numbers
        tar rf a.tar --mtime=@0 -C tree sub/script; tar cf - tree | cat >/dev/null; tar tf a.tar'
    saves "a user's cp, rsync and tar" 'mkdir -p -m 777 d; cd d; as_nobody bash -c "umask 027; cp -r $S/$V/tree/n* .
        rsync -a $S/$V/tree/ t/; tar xf $S/$V/archive.tar; sed -i 5d numbers; cp -p noise n"'
}

repositories() {
    (
        mkdir "$S/repo" && cd "$S/repo" && git init -q -b main && cp ../1/tree/n* . && git add . &&
            git commit -q -m first && cp ../2/tree/numbers . && git commit -qam second && git gc -q
    ) || not_ok "a repository to clone"
    same "git clone" 'git clone -q --no-hardlinks file://$S/repo r; cd r; git status --short; git fsck; git log --format=%H'
    again "git commit, branch, merge, gc" 'cd r; cp $S/1/tree/sub/script .; git add script; git commit -q -m third
        git checkout -q -b side HEAD~1; seq 30 >side; git add side; git commit -q -m side
        git checkout -q main; git merge -q -m merged side; git -c pack.threads=1 gc -q --prune=now
        git fsck; git status --short; git log --format=%H'
    again "git reset, pull, rebase" 'cd r; git reset -q --hard HEAD~1; git pull -q --no-rebase -m pulled; git config x.y z
        git tag t; git rebase -q side; git fsck; git status --short; git log --format=%H'
}

disk_images() {
    qemu-img convert -O qcow2 "$D" "$S/disk.qcow2"
    saves "qemu-img convert to raw" 'qemu-img convert -O raw $D r; qemu-img convert -f qcow2 -O raw $S/disk.qcow2 q
        sync r; calls data r; cmp r $D; cmp q $D'
    saves "qemu-img convert to qcow2" 'qemu-img convert -O qcow2 $D q; qemu-img check q
        qemu-img convert -c -O qcow2 q c; qemu-img check c; qemu-img compare q c'
    saves "qemu-img convert, all caches" 'for c in none writethrough directsync unsafe writeback; do
        qemu-img convert -t $c -T none -O qcow2 $S/disk.qcow2 $c || echo $c failed; qemu-img compare $c $D; done'
    saves "qemu-img create" 'qemu-img create -q -f qcow2 q 24M; qemu-img create -q -f raw r 24M
        qemu-img create -q -f qcow2 -o preallocation=metadata p 24M; qemu-img check q'
    again "qemu-img convert -n into them" 'for i in q r p; do
        qemu-img convert -n -O $(test $i = r && echo raw || echo qcow2) $D $i; qemu-img compare $i $D; done; qemu-img check q'
    again "qemu-img resize, amend, check -r" 'qemu-img resize -q q 32M; qemu-img resize -q --shrink r 8M
        qemu-img amend -o lazy_refcounts=on q; qemu-img check -r all q'
    again "qemu-io writes in place" 'command -v qemu-io >/dev/null || exit 0
        qemu-io -c "write -P 7 1M 100k" -c "write -z 3M 64k" -c "discard 5M 1M" -c flush q | grep -v sec; qemu-img check q'
    same "qemu-img with a backing file" 'cp $S/disk.qcow2 base; qemu-img create -q -f qcow2 -F qcow2 -b base top
        qemu-img compare top base; qemu-img convert -O qcow2 top flat; qemu-img check flat'
}

# A snapshot has its date in the image, so there is no equal one to compare with.
snapshots() {
    local disk=$mnt/snapshots
    under qemu-img convert -O qcow2 "$D" "$disk"
    check "qemu-img snapshot" under qemu-img snapshot -c now "$disk"
    check "qemu-img resize of an image with a snapshot" under qemu-img resize -q "$disk" 32M
    check "the image is sealed" intact "$disk"
    check "and a good qcow2" qemu-img check -q "$disk"
    equal "with its snapshot" "$(qemu-img snapshot -l "$disk" | grep -c ' now ')" 1
    check "and its content" qemu-img compare -q "$D" "$disk"
    equal "without a draft" "$(find "$back" -name '.saveseal.*')" ""
}

make_sources
start_daemon
for part in writers filters copies trees repositories disk_images snapshots; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    $part
done
check "unmounting ends the daemon with status 0" stop_daemon
exit $failed
