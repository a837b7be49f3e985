#!/bin/bash
# TPU=NAME ZONE=ZONE launch/tpu_pod.sh --config FILE [options of `actionclip train`]
# Trains on all hosts of a Cloud TPU slice, from any machine with gcloud. See docs/launch/tpu_pod.md.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/restart.sh"
: "${TPU:?is the name of the TPU VM}" "${ZONE:?is its zone}"
repository=${REPOSITORY:-actionclip-jax} # on the hosts, below the home folder unless it begins with /

on_all=(gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --quiet)
# its number may have passed to another process since; the hosts expand this, not this shell
# shellcheck disable=SC2016
tell='pid=$(cat .actionclip.pid 2>/dev/null) && grep -qs actionclip "/proc/$pid/cmdline" && kill -s'

ask() {
    "${on_all[@]}" --command="$tell $1 \$pid"
}

start() {
    # what a crash or a lost connection has left running still holds the chips
    "${on_all[@]}" --command="$tell KILL \$pid; true"
    background "${on_all[@]}" --command="echo \$\$ >.actionclip.pid; cd $(printf %q "$repository") || exit 2
        . launch/environment.sh; exec actionclip train --distributed $(printf '%q ' "$@")"
}

run "$@"
