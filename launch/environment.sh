# shellcheck shell=bash
# Environment variables and compiler flags of a run, with their reasons. Sourced; what is already set wins.
# Flags stand in XLA_FLAGS and LIBTPU_INIT_ARGS only if these do not name them yet. An unknown one ends the process.
# Checked: jaxlib 0.10.2 knows the GPU flags; libtpu 0.0.42 knows the TPU flags and compiles a data-parallel step
# with them for v4, v5e, v5p and v6e. Their effect on speed has not been measured on GPUs and TPUs.

add_flag() { # VARIABLE --flag=value
    case " ${!1:-} " in
    *" ${2%%=*}="* | *" ${2%%=*} "*) ;;
    *) export "$1=${!1:+${!1} }$2" ;;
    esac
}

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
    # gradients travel while the backward pass still computes; part of O1, stated because everything rests on it
    add_flag XLA_FLAGS --xla_gpu_enable_latency_hiding_scheduler=true
    # 128 MiB: the 600 MB of float32 gradients of ViT-B/16 go in five large pieces rather than many small ones,
    # and all but the last can hide behind computation
    add_flag XLA_FLAGS --xla_gpu_all_reduce_combine_threshold_bytes=134217728
    ;;
tpu)
    # gradients of data-parallel training are added up while the backward pass goes on, whatever their sizes
    add_flag LIBTPU_INIT_ARGS --xla_tpu_enable_data_parallel_all_reduce_opt=true
    add_flag LIBTPU_INIT_ARGS --xla_tpu_data_parallel_opt_different_sized_ops=true
    # sharded parameters (sharding.fsdp) are gathered while the layers before them compute, over several steps of them
    add_flag LIBTPU_INIT_ARGS --xla_enable_async_all_gather=true
    add_flag LIBTPU_INIT_ARGS --xla_tpu_enable_async_collective_fusion=true
    add_flag LIBTPU_INIT_ARGS --xla_tpu_enable_async_collective_fusion_fuse_all_gather=true
    add_flag LIBTPU_INIT_ARGS --xla_tpu_enable_async_collective_fusion_multiple_steps=true
    add_flag LIBTPU_INIT_ARGS --xla_tpu_overlap_compute_collective_tc=true
    # 96 MiB of vector memory for one fused operation, as MaxText sets it for dense models: larger tiles
    add_flag LIBTPU_INIT_ARGS --xla_tpu_scoped_vmem_limit_kib=98304
    ;;
esac
unset device
