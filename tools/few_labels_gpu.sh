#!/usr/bin/env bash
# The experiments on few labels with HRNet-W32 at 256 px on one GPU, a stage of at most eight minutes a call.
#
#   python tools/few_labels.py --sample SAMPLE --lsp LSP --pack PACKED   # once: LSP in 30 MB, to carry it there
#   until tools/few_labels_gpu.sh OUT SAMPLE PACKED; do [ $? -eq 130 ] || break; done
#
# A call ends with 130 while there is more to do, goes on where the last one stopped, and prints both tables so far.
# Every variant is trained with seed 0; `plain` and WINNER (mixed), the one that --choose favours, with three seeds, and
# WINNER on 5, 10 and 20 frames too. DEVICE, MINUTES and WORKERS (cuda, 7.5, the number of cores) may be given; further
# arguments are few_labels.py's and win, such as --pretrain-images 400000 or batch_size=32.
set -euo pipefail
usage="few_labels_gpu.sh OUT SAMPLE LSP [few_labels.py's arguments]"
out=${1:?$usage}; sample=${2:?$usage}; lsp=${3:?$usage}; shift 3
tools=$(dirname "$0")
python=${PYTHON:-python}
winner=${WINNER:-mixed}
workers=${WORKERS:-$(nproc)}
end=$(awk "BEGIN { print $SECONDS + int(60 * ${MINUTES:-7.5}) }")

left() { # minutes until this call's end; never 0, which would mean without end
  awk "BEGIN { left = $end - $SECONDS; print (left > 1 ? left : 1) / 60 }"
}
common=(--sample "$sample" --lsp "$lsp" --out "$out" --device "${DEVICE:-cuda}" --workers "$workers"
  --generated "${GENERATED:-30000}")
pose=(--share-pretraining --detectors "$out/detectors/generated"
  backbone=w32 input_size=256 sigma=2 batch_size=64 "workers=$workers" precision=bf16 "$@")

"$python" "$tools/few_boxes.py" "${common[@]}" --minutes "$(left)" --pretrain-images 200000 \
  batch_size=32 "workers=$workers" precision=bf16
"$python" "$tools/few_labels.py" "${common[@]}" --minutes "$(left)" --choose "${pose[@]}"
"$python" "$tools/few_labels.py" "${common[@]}" --minutes "$(left)" --variants "plain,$winner" --seeds 0,1,2 \
  --curve "$winner" "${pose[@]}"
