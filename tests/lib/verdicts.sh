# shellcheck shell=bash
# The rows of a table of verdicts: what a writer does, and what becomes of its draft. Source it after mount.sh.
# shellcheck disable=SC2034,SC2154

writer=$TEST_BIN_DIR/writer
plain=$work/plain # what the same steps leave in a plain directory
old=$work/old     # an old version
hold=$work/hold   # as long as it exists, a writer holds on
overs="free old"  # what the rows are tried on
listing=$mnt      # where saveseal status looks
name=             # of the image at hand
said=             # what the writer printed, blanks instead of line ends
count=0
kept_rows=0
mkdir "$plain"

fresh_name() {
    count=$((count + 1))
    name=v$count
}

# Nobody here lives on after his last close: a long grace time costs nothing, and nobody is believed because he was slow.
serve() { start_daemon -o settle=2000; }
# Puts a sealed old version under $name.
put_old() { under cp "$old" "$mnt/$name" && test -e "$mnt/$name"; } # who looks there waits until it is in place

# save STEP...: prints what the writer says.
save() {
    local out
    out=$(under timeout 60 "$writer" "$mnt/$name" "$@" 2>/dev/null </dev/null)
    said=${out//$'\n'/ }
}

state() { entry "$listing" "$name"; }
state_is() { [ "$(state)" = "$1" ]; }
state_like() {
    # shellcheck disable=SC2053  # a pattern
    [[ $(state) == $1 ]]
}

whole_as() { # FILE: it stands under the public name, sealed and equal
    cmp -s "$1" "$mnt/$name" && "$SAVESEAL" verify "$mnt/$name" >/dev/null 2>&1
}

# Prints what is wrong with $name: it ought to be published with the content of FILE.
not_published() { # FILE
    state_is "image sealed intact" || wait_until 5 state_is "image sealed intact" || echo "state is '$(state)'"
    whole_as "$1" || echo "content or seal differ"
}

# Prints what is wrong with $name: its draft ought to be kept with "REASON DETAIL" (a pattern), and nothing or the old version be public.
not_kept() { # PATTERN OVER
    local want="draft interrupted $1"
    [ "$2" = free ] || want="image sealed intact"$'\n'"$want"
    state_like "$want" || wait_until 5 state_like "$want" || echo "state is '$(state)'"
    if [ "$2" = free ]; then
        [ ! -e "$mnt/$name" ] || echo "it is public"
    else
        whole_as "$old" || echo "the old version is damaged"
    fi
}

# report TEXT PROBLEMS
report() {
    if [ -z "$2" ]; then ok "$1"; else not_ok "$1: ${2//$'\n'/; }"; fi
}

# said_like PATTERN
said_problem() {
    # shellcheck disable=SC2053  # a pattern
    [[ $said == $1 ]] || echo "the writer said '$said'"
}

# Where a back end judges otherwise, and is known to, differs[TEXT] is "published" or the pattern of what is kept.

# published TEXT STEP...: both on a free name and over an old version.
published() {
    local text=$1
    shift
    if [ -n "${differs[$text]-}" ]; then
        rows_kept "$text" "${differs[$text]}" "*" "$@"
        return
    fi
    rows_published "$text" "" "$@"
}

rows_published() { # TEXT SAID STEP...
    local text=$1 wanted=$2 over
    shift 2
    for over in $overs; do
        fresh_name
        [ "$over" = free ] || put_old
        save "$@"
        "$writer" "$plain/$name" "$@" >/dev/null 2>&1
        report "$text ($over name): published" "$(not_published "$plain/$name")$(said_problem "$wanted")"
    done
}

# kept TEXT PATTERN SAID STEP...: the draft's reason and detail, and what the writer says.
kept() {
    local text=$1 pattern=$2 wanted=$3
    shift 3
    if [ "${differs[$text]-}" = published ]; then
        rows_published "$text" "*" "$@"
    elif [ -n "${differs[$text]-}" ]; then
        rows_kept "$text" "${differs[$text]}" "*" "$@"
    else
        rows_kept "$text" "$pattern" "$wanted" "$@"
    fi
}

rows_kept() { # TEXT PATTERN SAID STEP...
    local text=$1 pattern=$2 wanted=$3 over
    shift 3
    for over in $overs; do
        fresh_name
        [ "$over" = free ] || put_old
        save "$@"
        report "$text ($over name): kept" "$(not_kept "$pattern" "$over")$(said_problem "$wanted")"
        kept_rows=$((kept_rows + 1))
    done
}

