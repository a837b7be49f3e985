#!/bin/bash
# MPIRUN_OPTIONS="-n 16 --hostfile hosts" launch/mpi.sh --config FILE [options of `actionclip train`]
# Trains with Open MPI 4, one rank for every GPU; this folder is at the same place on all hosts. See docs/launch/mpi.md.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/environment.sh"
. "$here/restart.sh"

# This script is also what mpirun starts on every host.
if [ -n "${OMPI_COMM_WORLD_RANK:-}" ]; then
    trap 'ask TERM' USR1
    trap 'ask KILL' TERM # of mpirun, when another rank has crashed
    background actionclip train --distributed "$@"
    finish
    code=$?
    # the first rank that fails makes mpirun kill the others, so that this waits until they have saved as well
    case $code in 2 | 3 | 75 | 130) sleep "${GRACE:-10}" ;; esac
    exit "$code"
fi

# mpirun answers TERM and INT by killing the ranks within a second, but passes this on
ask() {
    [ "${#pids[@]}" = 0 ] || kill -s USR1 "${pids[@]}"
}

start() {
    local options
    read -ra options <<<"${MPIRUN_OPTIONS:-}"
    # without --bind-to none each rank, with all its threads and loaders, would have one core
    background mpirun --bind-to none -x PATH "${options[@]}" "$here/mpi.sh" "$@"
}

run "$@"
