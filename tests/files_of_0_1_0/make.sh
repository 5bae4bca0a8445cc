#!/usr/bin/env bash
# Makes the files beside it anew, with the fdpose of the commit that README.md names:
#
#   FDPOSE="python -m finediving_pose" PYTHON=python tests/files_of_0_1_0/make.sh    # from the root of a checkout of it
#
# It is here to show how they were made; made by a later version they would prove nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
sample=$(cd "$here/../../annotations/sample" && pwd)
FDPOSE=${FDPOSE:-fdpose} PYTHON=${PYTHON:-python}
export OMP_NUM_THREADS=1 PYTHONPATH=$here/../..
root=$(mktemp -d)
[ -n "${KEEP:-}" ] || trap 'rm -rf "$root"' EXIT  # KEEP=1 leaves the folder
parts() { "$PYTHON" "$here/make_parts.py" "$@"; }
answer() { name=$1; shift; code=0; $FDPOSE "$@" >"$root/answers/$name" || code=$?; echo "$name $code" >>"$root/answers/exit_codes.txt"; }
mkdir "$root/answers"

# A project of two annotators and a reviewer: the sample's labels of three dives, with more mistakes in them.
cd "$root"
for dive in SyntheticMeet01_Men3m_r1/1 SyntheticMeet01_Men3m_r1/3 SyntheticMeet02_Women10m_r1/1; do
  mkdir -p "recorded/$dive" && cp "$sample/frames/$dive"/* "recorded/$dive"
done
$FDPOSE init project --annotator anna --annotator ben --reviewer you
cd project
$FDPOSE frames --method uniform --videos ../recorded --per-clip 3
$FDPOSE annotate anna --no-start
for who in anna ben; do
  for dive in SyntheticMeet01_Men3m_r1__1 SyntheticMeet01_Men3m_r1__3 SyntheticMeet02_Women10m_r1__1; do
    mkdir -p "labels/$who" && cp -r "$sample/labels/$who/$dive" "labels/$who"
  done
done
parts mistakes labels/ben
answer agree.json agree anna ben --json --out "$root/agreement.html"
one=SyntheticMeet01_Men3m_r1/1 two=SyntheticMeet01_Men3m_r1/3 three=SyntheticMeet02_Women10m_r1/1
$FDPOSE review accept $one/01471.jpg --label anna
$FDPOSE review accept $two/02565.jpg --label ben --comment "knees are better"
$FDPOSE review return $one/01482.jpg --label ben --comment "sides?"
$FDPOSE review accept $two/02587.jpg --label ben --confirm
$FDPOSE review accept $three/119140.jpg --label anna
answer merge.json merge --allow-unreviewed --json
answer validate_reviewed.json validate --json
answer status.json status --json
answer review_list.json review list --json
answer review_log.json review log --json

# The same labels in every format, and from each into each.
$FDPOSE convert labels/anna --to coco --images frames --split dive --val 0.34 --seed 3 --out ../formats/coco || true
for format in labelme fdpose-json mpii csv pyskl; do
  $FDPOSE convert labels/anna --to $format --images frames --out ../formats/$format || true
done
cd ..
parts convert formats project/frames

# Labels with one mistake each, and files of the other formats with several.
parts faulty project/labels/anna/SyntheticMeet01_Men3m_r1__1 formats faulty
answer faulty_labelme.json validate faulty/labelme/* --images project/frames --json
for name in coco.json mpii.json csv.csv fdpose.json; do
  answer "faulty_${name%.*}.json" validate "faulty/$name" --images project/frames --json
done

# Clips of small pictures, a recording of two dives and a broken file, and what was extracted from them.
$FDPOSE synth full --dives 3 --seed 7 --label-every 1000
parts clips full/frames clips
$FDPOSE extract --videos clips --model synthetic --detector synthetic --device cpu --out skeletons/first || true
answer qc.json qc skeletons/first --out qc --json

# Models. The trainings are what users run; then the weights are replaced by a pattern that packs well.
cd project
small="--preset tiny --data labels/final --images frames --val 0.34 --device cpu"
pose="init_from=none backbone=w8 input_size=64 batch_size=4 val_interval=1 warmup_iterations=0"
detector="init_from=none image_size=96 batch_size=4 val_interval=1 warmup_iterations=0 score_threshold=0.0"
$FDPOSE finetune-hrnet $small --out runs/hrnet/first --epochs 1 $pose
$FDPOSE finetune-detector $small --out runs/detector/first --epochs 1 $detector
parts interrupted finetune-hrnet $small --out runs/hrnet/stopped --epochs 2 $pose
parts interrupted finetune-detector $small --out runs/detector/stopped --epochs 2 $detector
cd ..
$FDPOSE synth meet --dives 10 --seed 7 --as truth --numbers 107B,407C --label-every 1000
narrow="dim=16 pose_dim=16 decoder_heads=2 size=32 frames=32 exemplars=3 workers=0 val_fraction=0 select=last batch_size=1 tokens=3"
poses="branch_dynamic=false branch_static=false"
aqa="train-aqa --preset tiny --data meet/annotations --skeletons meet/skeletons/truth --device cpu"
$FDPOSE $aqa --out models/poses --epochs 1 $narrow $poses
parts interrupted $aqa --out models/stopped --epochs 2 $narrow $poses
$FDPOSE synth filmed --dives 5 --seed 7 --numbers 107B,407C --label-every 1000
$FDPOSE train-aqa --preset tiny --data filmed/annotations --frames filmed/frames --skeletons filmed/skeletons/truth \
  --device cpu --out models/pictures --epochs 1 $narrow
parts pack project/runs/hrnet project/runs/detector models
parts unpack project/runs/hrnet/first project/runs/detector/first models/poses models/pictures
answer eval_aqa.json eval-aqa --model models/poses --device cpu --json --out evaluated
answer score.json score clips/Frames/1 --dive-number 407c --difficulty 3.2 --skeletons skeletons/first --model models/pictures \
  --device cpu --json
$FDPOSE extract --videos clips/Frames --model project/runs/hrnet/first --detector synthetic --frames 12 --device cpu \
  --out skeletons/own_pose
$FDPOSE extract --videos clips/Frames --model synthetic --detector project/runs/detector/first --frames 12 --device cpu \
  --out skeletons/own_detector

# Two tables of scores, and the digests of a meet.
parts tables scores
answer eval_files.json eval-aqa --pred scores/predicted.csv --true scores/true.csv --numbers scores/numbers.txt --json
$FDPOSE synth annotated --dives 6 --seed 11 --as annotations
parts digests annotated meet.json annotations >answers/synth_digests.json

parts store "$root" "$here"
