# shellcheck shell=bash disable=SC2034,SC2154
# The second back end of cases: no mount, but programs under `saveseal run`. Source it after mount.sh.
# There is one directory then, $mnt and $back alike, and under COMMAND... is how a program is started.

declare -A differs
mnt=$back
mkdir -p "$work/run/tools" "$work/run/preload" # where any user can reach them
chmod 755 "$work" "$work"/run{,/*}
cp "$SAVESEAL" "$work/run/tools/"
cp "${PRELOAD_LIBRARY:-$(dirname "$SAVESEAL")/../preload/libsaveseal-preload.so}" "$work/run/preload/libsaveseal-preload.so"
runner=("$work/run/tools/saveseal" run --dir "$mnt" --)

# A library with a sanitizer in it: the reports are what counts (mount.sh looks for them), not what programs end with. Of
# what is not built with it, the sanitizer knows too little to say what leaks, or what is safe in a signal handler.
mkdir -m 1777 "$work/sanitizer"
sanitized() { grep -qE '__(asan|tsan)_init' "$work/run/preload/libsaveseal-preload.so"; }
export ASAN_OPTIONS="detect_leaks=0:use_sigaltstack=0:log_path=$work/sanitizer/log"
export TSAN_OPTIONS="die_after_fork=0:report_signal_unsafe=0:report_thread_leaks=0:exitcode=0:log_path=$work/sanitizer/log"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:log_path=$work/sanitizer/log"
start_daemon() { :; }
stop_daemon() { :; }
# Who is killed between making a draft and writing its record leaves an empty file without one: nothing is lost with it.
forget_unmade() {
    local draft
    for draft in "$back"/.saveseal.*; do
        [ -s "$draft" ] || getfattr -n user.saveseal.draft "$draft" >/dev/null 2>&1 || rm -f "$draft"
    done
}

# What the table of case verdicts has otherwise (docs/preload.md says why).
unseen="writer-vanished *" # nobody sees how a process ends that is killed
for text in SIGKILL SIGTERM SIGSEGV "abort()" "killed before the first byte" "killed while another thread writes" \
    "the first thread ends, another is killed" "an heir ends last: killed" "sent; the sender is killed with it open" \
    "a shell killed in a redirection" "exec 3>f, killed" "the opener is killed, a child writes and closes" \
    "mapped: killed with it open" "mapped: close, write, killed" "mapped: close, write, exit(3)" \
    "complete, and then killed with it open" "sent, never received"; do
    differs[$text]=$unseen
done
# A close is a commit: what becomes of the process afterwards is not waited for.
for text in "close() and then killed" "close on exec, then a failure" "an heir closes last, then fails" \
    "the opener closes and is killed, a child writes and closes" \
    "sent and closed; the sender is killed before the receiver writes" \
    "sent; the sender is killed after the receiver's close"; do
    differs[$text]=published
done
differs["partial, reopened, killed after the complete header"]="format-incomplete *" # what the last close found
# Only that the disk is full when the draft is closed is seen, and whether the data could be written back.
for text in "disk full, close" "disk full, exit(0)" "fallocate without room"; do
    differs[$text]="write-failed there is no space left*"
done
differs["disk full, written over in part"]="state:image sealed intact" # a write failed, and nothing tells
differs["disk full, then saved again by the same process"]="state:image sealed intact"$'\n'"draft interrupted write-failed *"
differs["over RLIMIT_FSIZE"]=$unseen
differs["fsync fails, and from then on, though there is room"]="sync-failed *"
left_by_kill=$'\n'"draft interrupted writer-vanished its writer ended without closing it" # a copy that nobody drops
not_here="foreign_writer all_listed settled one_is_late killed_daemons ended_daemons daemon_ends" # there is no daemon

# The same for the cases race and crash; these are regular expressions. Who is killed between seal and rename leaves a whole draft.
vanished="writer-vanished its writer ended without closing it$"
differs["killed writers"]="($vanished|closed-unpublished$)"
differs["full disks"]="write-failed there is no space left, and whether a write failed was not seen: No space left on device$"
differs["a crowd"]=$vanished
differs["exec"]="($vanished|closed-unpublished$)"
