# shellcheck shell=bash
# Sourced: `run` starts a run, and starts it again as long as that helps. `actionclip train` exits with
#     0    done
#     2    wrong settings or data      } starting again would change nothing
#     3    a person is needed          }
#     130  stopped by Ctrl-C, saved    }
#     75   told to stop, saved by all processes at one step: goes on later, unless this script was told to stop
#     else crashed: goes on from the last checkpoint
# The script that sources this has a function `start ARGUMENTS` that calls `background COMMAND` for every process.

pids=()           # of the processes in the background
asked=            # the signal this script got
ends=" 0 2 3 130 " # exit codes after which nothing is started again

# In a session of its own, so that Ctrl-C reaches a process once, through `ask`; in the background bash would have it
# ignored.
background() {
    (
        trap - INT
        exec setsid "$@"
    ) &
    pids+=("$!")
}

ask() { # SIGNAL: tells the processes; scripts whose processes are elsewhere have their own
    [ "${#pids[@]}" = 0 ] || kill -s "$1" "${pids[@]}" 2>/dev/null
}
trap 'asked=TERM; ask TERM' TERM HUP
trap 'asked=INT; ask INT' INT

# Waits for all of `pids`; its exit code is that of the first that fails. When one does, the others cannot go on. After a
# crash they are killed, for they wait for it in vain; else they are about to end too, perhaps saving, and have a minute.
finish() {
    local code=0 ended alive pid deadline=
    while [ "${#pids[@]}" -gt 0 ]; do
        alive=()
        for pid in "${pids[@]}"; do
            if kill -0 "$pid" 2>/dev/null; then
                alive+=("$pid")
                continue
            fi
            wait "$pid"
            ended=$?
            code=$((code ? code : ended)) # of the first that fails: the others fail because it does
            case $ended in
            0) ;;
            2 | 3 | 75 | 130) deadline=${deadline:-$((SECONDS + 60))} ;;
            *) deadline=${deadline:-$((SECONDS + 2))} ;;
            esac
        done
        pids=("${alive[@]}")
        [ "${#pids[@]}" = 0 ] && break
        if [ "${deadline:-$SECONDS}" -lt "$SECONDS" ]; then kill -s KILL "${pids[@]}" 2>/dev/null; fi
        sleep 0.3
    done
    return "$code"
}

run() { # ARGUMENTS of `start`: at most RESTARTS restarts, PAUSE seconds before each
    local code restarts=${RESTARTS:-10}
    while :; do
        start "$@"
        [ -z "$asked" ] || ask "$asked" # it came before there was a process to tell
        finish
        code=$?
        if [ -n "$asked" ] || [[ $ends == *" $code "* ]]; then return "$code"; fi
        if [ "$restarts" -le 0 ]; then
            echo "exit code $code, and all restarts are used up" >&2
            return "$code"
        fi
        echo "exit code $code: starting again in ${PAUSE:-5} s; $((restarts -= 1)) restarts left after this one" >&2
        sleep "${PAUSE:-5}"
        [ -z "$asked" ] || return "$code"
    done
}
