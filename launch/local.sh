#!/bin/bash
# PROCESSES=2 launch/local.sh --config FILE [more options of `actionclip train`]
# Trains with several processes on this host, each with its share of the GPUs. See docs/launch/local.md.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/environment.sh"
. "$here/restart.sh"

processes=${PROCESSES:-1}
IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | paste -sd,)}"
share=$((${#gpus[@]} / processes))
if [ "${#gpus[@]}" -gt 0 ] && [ "$share" = 0 ]; then
    echo "PROCESSES=$processes: there are only ${#gpus[@]} GPUs, and every process needs one" >&2
    exit 2
fi

free_port() {
    python3 -c 'import socket; place = socket.socket(); place.bind(("", 0)); print(place.getsockname()[1])'
}

start() {
    local coordinator process
    coordinator=127.0.0.1:$(free_port) # another one each time: the last may not be free yet
    for ((process = 0; process < processes; process++)); do
        if [ "$share" -gt 0 ]; then
            CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${gpus[*]:process*share:share}")
            export CUDA_VISIBLE_DEVICES
        fi
        # every line says which process wrote it
        background actionclip train --distributed --coordinator "$coordinator" --processes "$processes" \
            --process "$process" "$@" > >(exec setsid sed -u "s/^/[$process] /") 2>&1
    done
}

run "$@"
