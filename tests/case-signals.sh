#!/bin/bash
# Workers that are ended by other signals than SIGKILL, or stopped and continued; and that do nothing when there is nothing to do.
#
#   KILLS  in each part, default 12
# Arguments: the parts to run.
# shellcheck disable=SC2016,SC2086,SC2119,SC2154,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"
# shellcheck source=tests/lib/same.sh
. "$(dirname "$0")/lib/same.sh"
# shellcheck source=tests/lib/restart.sh
. "$(dirname "$0")/lib/restart.sh"

kills=$(rounds ${KILLS:-12})
[ "$kills" -ge 3 ] || kills=3

signals() {
    local name number text
    for name in SEGV ABRT STOP; do
        number=$(kill -l $name)
        text="SIG$name"
        begin
        cat "$bin/daemon" >"$work/source"
        grow one two
        begin_kills $number $(((kills + 1) / 2)) 100 500
        while killing; do
            { cat "$work/source" >"$mnt/saved" && cmp "$work/source" "$mnt/saved"; } 2>&1
        done >"$work/raced.err"
        end_kills "$text"
        equal "$text: saves are as ever" "$(<"$work/raced.err")" ""
        if [ $name = STOP ]; then
            equal "$text: the worker goes on" "$(told restarts)" 0
        else
            equal_restarts "$text"
        fi
        reap "$text" one two
        end "$text"
    done
}

# Readers of an image whose last answer is short, while something is done to the worker in every kind of call. An answer that gets
# lost is one that its caller waits for, for ever.
begin_reading() {
    local name
    head -c 3000000 /dev/urandom >"$work/source"
    cp "$work/source" "$mnt/image"
    load=()
    for name in one two; do
        (while killing; do
            cmp "$work/source" "$mnt/image" && dd if="$mnt/image" of=/dev/null bs=70K status=none || exit 1
            echo 1 >/proc/sys/vm/drop_caches
        done) >"$work/raced.$name" 2>&1 &
        load+=($!)
    done
}
end_reading() { # TEXT
    local name
    for name in "${load[@]}"; do
        wait "$name" || not_ok "$1: a reader: $(head -c 500 "$work"/raced.*)"
    done
    load=()
}

stops() {
    begin
    begin_kills "$(kill -l STOP)" $((kills * 40)) 1 8
    begin_reading
    end_reading "SIGSTOP often"
    end_kills "SIGSTOP often"
    end "SIGSTOP often"
}

# A signal that has the worker fork, because there is a name that the kernel shall forget.
forks() {
    begin
    hold pinned "$mnt/pinned"
    local pinned=$held worker
    worker=$(worker)
    begin_kills 0 $((kills / 2)) 500 500
    begin_reading
    while killing; do
        kill -USR2 "$worker"
        sleep 0.002
    done
    end_reading "forks"
    held=$pinned
    let_go "what made it fork is still there" pinned
    end_kills "forks"
    end "forks"
}

# What the kernel does not forget although nobody has it open (O_PATH counts as nobody) is asked for now and then, not all the time.
idle() {
    local used
    begin
    load=()
    check "a published draft that the kernel remembers" hold pinned "$mnt/pinned"
    sleep 2.5 # when it is asked for the first time
    used=$(used_ms "$(worker)")
    sleep 3
    used=$(($(used_ms "$(worker)") - used))
    check "a worker that has nothing to do does nothing ($used ms of 3000)" test $used -lt 500
    let_go "it is there" pinned
    end idle
}
used_ms() { sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$(getconf CLK_TCK)" '{print int(($12 + $13) * 1000 / hz)}'; } # PID

watch "${CASE_SECONDS:-600}"
for part in signals stops forks idle; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    run_part $part
done
exit $failed
