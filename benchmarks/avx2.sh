#!/bin/sh
# Runs a command as on a processor that has AVX2 and nothing newer: `make bench-avx2`. Linux, as root.
#
# /proc/cpuinfo, from which sat2map chooses precision and engine, loses AVX-512, VNNI and AMX for this command
# alone, and oneDNN (PyTorch's and OpenVINO's) and PyTorch are told to use no more. It is a simulation: clock,
# caches and memory stay those of the newer processor, and ONNX Runtime and a few of OpenVINO's smaller kernels
# look at the processor itself, so that they keep AVX-512.
set -e
export hidden="$(mktemp)"
sed -E 's/ (avx512|amx|avx_vnni)[^ ]*//g' /proc/cpuinfo >"$hidden"
export ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
exec unshare -m sh -c 'mount --bind "$hidden" /proc/cpuinfo && rm "$hidden" && exec "$@"' sh "$@"
