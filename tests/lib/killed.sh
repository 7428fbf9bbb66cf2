# shellcheck shell=bash
# The tool under strace: delayed at a system call, or killed there. For tests that source lib/tools.sh and lib/images.sh.

seal_of() { getfattr --only-values -n user.saveseal.seal "$1" 2>/dev/null; }
record_of() { getfattr --only-values -n user.saveseal.draft "$1" 2>/dev/null; }
# shellcheck disable=SC2317 # called by check
has_no_seal() { ! getfattr -n user.saveseal.seal "$1" >/dev/null 2>&1; }
drafts() { find "$DIR" -name '.saveseal.*'; }
# shellcheck disable=SC2317
no_drafts() { [ -z "$(drafts)" ]; }

# The tool under strace, as $by when that is set, and with $more of its options. LeakSanitizer does not work there.
traced() { # INJECTION ARGUMENT...
    # shellcheck disable=SC2086 # the prefix is words
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 timeout 60 ${by:-} strace -qq -o "$WORK/trace" \
        -e "inject=$1" ${more:-} "$SAVESEAL" "${@:2}" >"$OUT" 2>"$ERR" </dev/null
}

# shellcheck disable=SC2317 # called by wait_for
has_stopped() { # TIMES
    local times
    times=$(grep -cs 'stopped by SIGSTOP' "$WORK/trace")
    [ "${times:-0}" -ge "$1" ]
}

# Runs it until it has made CALL for the Nth time (the first), and stops it there. Sets TRACER and TOOL, its pid.
hold() { # CALL[:N] ARGUMENT...
    local call=${1%:*} when=1
    [ "$call" = "$1" ] || when=${1#*:}
    shift
    rm -f "$WORK/trace"
    traced "$call:signal=STOP:when=$when" "$@" &
    TRACER=$!
    wait_for has_stopped 1 || return
    TOOL=$TRACER # a shell, whose child is timeout, whose child is strace
    for _ in 1 2 3; do TOOL=$(pgrep -P "$TOOL"); done
}

# Lets it go on to its end. RC is its status.
release() {
    kill -CONT "$TOOL"
    wait "$TRACER"
    # shellcheck disable=SC2034 # the test looks at it
    RC=$? TRACER=
}

# shellcheck disable=SC2317 # called by wait_for
has_pending_urgent() { # PID: SIGURG, by which a lease is broken, waits for it
    local mask
    mask=$(sed -n 's/^ShdPnd:\t//p' "/proc/$1/status")
    (((16#$mask >> 22) & 1))
}

# ---- killed at each change that it makes ----

# shellcheck disable=SC2317 # called by kill_everywhere
{
    make_seal() { cp "$STREAM" "$DIR/vm"; }
    holds_seal() { # old: no seal; new: one that agrees
        cmp -s "$DIR/vm" "$STREAM" && { has_no_seal "$DIR/vm" || "$SAVESEAL" verify "$DIR/vm" >/dev/null; }
    }
    is_new_seal() { ! has_no_seal "$DIR/vm"; }

    make_quarantine() { image "$DIR/vm" && "$MKSEAL" "$DIR/vm" && flip "$DIR/vm" 10 && cp "$DIR/vm" "$WORK/copy"; }
    holds_quarantine() { # old: its name; new: a draft with a record; never both, never neither
        if [ -e "$DIR/vm" ]; then no_drafts && cmp -s "$DIR/vm" "$WORK/copy"; else is_new_quarantine; fi
    }
    is_new_quarantine() { # shellcheck disable=SC2046 # there is one
        cmp -s "$(drafts)" "$WORK/copy" && grep -q 'target=vm state=interrupted reason=header' <<<"$(record_of "$(drafts)")"
    }

    make_finish() { libvirt_draft 00000000000000aa interrupted writer-killed; }
    holds_finish() { # old: the draft, with its old mark or the new; new: the image, sealed
        if [ -e "$DIR/vm" ]; then
            no_drafts && "$SAVESEAL" verify "$DIR/vm" >/dev/null
        else
            cmp -s -i 16 "$DIR/.saveseal.00000000000000aa" "$WHOLE" &&
                grep -q '^LibvirtQemud\(Part\|Save\)$' <<<"$(mark_of "$DIR/.saveseal.00000000000000aa")" &&
                grep -q 'target=vm state=interrupted' <<<"$(record_of "$DIR/.saveseal.00000000000000aa")"
        fi
    }
    is_new_finish() { [ -e "$DIR/vm" ]; }

    make_finishimage() { libvirt_image "$DIR/vm"; }
    holds_finishimage() {
        cmp -s -i 16 "$DIR/vm" "$WHOLE" && grep -q '^LibvirtQemud\(Part\|Save\)$' <<<"$(mark_of "$DIR/vm")" &&
            { has_no_seal "$DIR/vm" || "$SAVESEAL" verify "$DIR/vm" >/dev/null; }
    }
    is_new_finishimage() { [ "$(mark_of "$DIR/vm")" = LibvirtQemudSave ] && ! has_no_seal "$DIR/vm"; }
}

CHANGES=fsync,fsetxattr,fremovexattr,renameat,renameat2,pwrite64,fchmod

# Its changes are these, in this order: what is renamed or marked must be on the disk before. It is killed at each of them;
# what was begun can be done again then.
kill_everywhere() { # KIND CHANGES COMMAND...
    local kind=$1 order=$2 calls call count n deaths=0
    shift 2
    start_over "$kind"
    rm -f "$WORK/trace"
    traced "$CHANGES:delay_enter=0" "$@"
    mapfile -t calls < <(sed -n 's/^\([a-z0-9]*\)(.*/\1/p' "$WORK/trace" | grep -xE "${CHANGES//,/|}")
    check "killed: $kind, its changes are $order" test "${calls[*]}" = "$order"
    mapfile -t calls < <(printf '%s\n' "${calls[@]}" | sort | uniq -c)
    check "killed: $kind without a death" "is_new_$kind"
    for call in "${calls[@]}"; do
        read -r count call <<<"$call"
        for ((n = 1; n <= count; n++)); do
            start_over "$kind"
            traced "$call:signal=KILL:when=$n" "$@" && { not_ok "killed: $kind lived at $call $n"; return; }
            deaths=$((deaths + 1))
            "holds_$kind" || { not_ok "killed: $kind at $call $n: neither old nor new"; return; }
            "is_new_$kind" && continue # behind its last change
            run "$@"
            "is_new_$kind" || { not_ok "killed: $kind at $call $n can not be done again"; return; }
        done
    done 2>/dev/null # the shell tells of each death
    check "killed: $kind at each of $deaths changes" test "$deaths" -ge 3
}

start_over() { # KIND
    rm -rf "$DIR"
    mkdir "$DIR"
    "make_$1"
}
