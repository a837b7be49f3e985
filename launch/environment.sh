# shellcheck shell=bash
# Environment variables of a run, with their reasons. Sourced; what is already set wins.
# Compiler options are no part of this: actionclip_jax/xla.py gives them to every program that is compiled. What XLA_FLAGS
# and LIBTPU_INIT_ARGS name wins there too.

# seconds that a process waits for the others: hosts may come minutes apart
export ACTIONCLIP_WAIT="${ACTIONCLIP_WAIT:-600}"

device=cpu
if [ -e /dev/nvidiactl ]; then device=gpu; fi
if [ -e /dev/accel0 ] || [ -e /dev/vfio/0 ]; then device=tpu; fi
device=${DEVICE:-$device} # DEVICE=cpu, gpu or tpu where that is wrong

case $device in
cpu)
    # huge pages for the large arrays of a step: a fifth faster, measured on two cores; needs glibc 2.35
    export GLIBC_TUNABLES="${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}"
    ;;
gpu)
    # XLA takes 75% of the memory unless told; NCCL, cuDNN and the driver need some of the rest
    export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.9}"
    # the switch of an NVLink host adds up gradients, which frees the GPUs from it
    export NCCL_NVLS_ENABLE="${NCCL_NVLS_ENABLE:-1}"
    # O1 lets the compiler spend the time on passes that overlap communication and computation
    export JAX_OPTIMIZATION_LEVEL="${JAX_OPTIMIZATION_LEVEL:-O1}"
    ;;
esac
unset device
