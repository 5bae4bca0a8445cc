#!/usr/bin/env bash
# What HP-MCoRe learns on the frozen benchmark meet from skeletons, from pictures, and from both:
#
#   tools/meet_scores.sh OUT [--device cuda] [--seeds 0,1,2] [key=value …]
#
# Draws the meet (1,000 dives; once), trains each of the three with the same settings, and measures it on the 250 test
# dives beside what labels alone reach. Skeletons are the true joints in sight. A run that is there is kept, one that was
# interrupted goes on. Without key=value the settings are those of the table in docs/measurements/scores.md, for CPUs: about two
# hours of one core.
set -euo pipefail
out=${1:?usage: tools/meet_scores.sh OUT [--device cuda] [--seeds 0,1,2] [key=value …]}
shift
cd "$(dirname "$0")/.."
fdpose=.venv/bin/fdpose
ceiling=0.988 # ρ of the scores that judges without error would give; fdpose synth prints it
meet=$out/meet
settings=(frames=48 epochs=12 patience=0 workers=0 videos_at_once=8)
device=()
seeds=(--seeds 0)
while [ $# -gt 0 ]; do
  case $1 in
  --device) device=(--device "$2"); shift 2 ;;
  --seeds) seeds=(--seeds "$2"); shift 2 ;;
  *) settings+=("$1"); shift ;;
  esac
done

$fdpose synth "$meet" --benchmark --label-every 1000 --workers "$(nproc)"
for run in "skeletons branch_dynamic=false branch_static=false" "pictures branch_pose=false" "both"; do
  read -r name branches <<<"$run"
  echo "== $name"
  # shellcheck disable=SC2086 # several settings
  $fdpose train-aqa --preset tiny --data "$meet/annotations" --frames "$meet/frames" \
    --skeletons "$meet/skeletons/truth" --cache "$out/cache" --out "$out/runs/$name" "${seeds[@]}" "${device[@]}" \
    "${settings[@]}" $branches
  for model in "$out/runs/$name"/seed_*; do
    $fdpose eval-aqa --model "$model" "${device[@]}" --ceiling $ceiling --out "$out/reports/$name/$(basename "$model")"
  done
done
