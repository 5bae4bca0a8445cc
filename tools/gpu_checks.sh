#!/usr/bin/env bash
# What could only be tried on a CPU so far, on a machine with a CUDA GPU, in one command:
#
#   tools/gpu_checks.sh OUT [SAMPLE]
#
# OUT is a new folder for logs and runs; SAMPLE the published FineDiving-Pose example (annotations.json, images/).
# Set up the environment before: `make env`, or FDPOSE_TORCH=system make env on an image that brings its torch.
# Put what it prints into docs/measurements/ with the card's name.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: tools/gpu_checks.sh OUT [SAMPLE]}
sample=${2:-}
python=.venv/bin/python
fdpose=.venv/bin/fdpose
mkdir -p "$out"

step() { echo "== $1"; shift; "$@" 2>"$out/stderr.txt" || { echo "failed ($?):"; tail -5 "$out/stderr.txt"; }; }

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
step "doctor" $fdpose doctor --device cuda
step "tests marked gpu" $python -m pytest -q -m gpu
step "the whole way on drawn dives, on the GPU" $fdpose demo --device cuda --out "$out/demo"
for preset in w32 paper; do
  for precision in fp32 bf16; do
    bench="$python tools/bench_extract.py --device cuda --preset $preset --precision $precision --markdown"
    step "extraction, $preset, $precision" $bench --clips 8 --rounds 3 --raw-batches 16,32,64,128,256
    step "extraction of more clips against its networks alone, $preset, $precision" $bench --clips 64 \
      --ways limit,ours --raw-batches 16,32,64,128,256
  done
  step "the same compiled, $preset, bf16" $bench --clips 64 --ways limit,ours --raw-batches 32,64,128 --compile
done
step "memory and rate over 10, 100 and 1,000 clips" $python tools/bench_extract.py --device cuda --preset w32 \
  --precision bf16 --ways "" --growth 10,100,1000 --markdown
for precision in fp32 bf16; do
  step "score model: an evaluation, a training step, decoding; $precision" $python tools/bench_aqa.py --device cuda \
    "precision=$precision"
done
step "scores on the benchmark meet, three seeds" tools/meet_scores.sh "$out/scores" --device cuda --seeds 0,1,2 \
  precision=bf16 frames=96 epochs=40 batch_size=16 workers=8
if [ -n "$sample" ]; then
  for precision in fp32 bf16 fp16; do
    step "real frames, HRNet-w48 at 256 px from random weights, $precision" $python tools/real_frames.py \
      --sample "$sample" --out "$out/real_$precision" --device cuda --pose-preset tiny --pose-epochs 300 \
      --detector-preset tiny --detector-epochs 200 init_from=none backbone=w48 input_size=256 sigma=2.0 "precision=$precision"
  done
fi
