#!/usr/bin/env bash
# fdpose extract as a SLURM job array, a shard a task; docs/how-to/cluster.md has the whole of it.
#
#   job=$(sbatch --parsable --array=1-8 tools/slurm_extract.sh --videos videos --model M --detector D --out O)
#   sbatch --dependency=afterany:$job tools/slurm_extract.sh --videos videos --model M --detector D --out O
#
# All arguments are fdpose extract's. Without --array it runs unsharded: the last call, which makes up for what is
# missing and writes the tables. Give other resources on sbatch's command line; they win over those below.
#
# FDPOSE         the command, where it is not on the PATH: /path/to/.venv/bin/fdpose
# FDPOSE_SHARDS  how many shards, where the array has only some of them: FDPOSE_SHARDS=8 sbatch --array=3,7 …
#
#SBATCH --job-name=fdpose-extract
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=fdpose-extract-%A_%a.log
set -euo pipefail

MOST_RESTARTS=20
fdpose=${FDPOSE:-fdpose}
command -v "$fdpose" >/dev/null || {
  echo "$fdpose: no such command; activate its environment before sbatch, or set FDPOSE" >&2
  exit 4
}

part=()
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  shards=${FDPOSE_SHARDS:-${SLURM_ARRAY_TASK_COUNT:?is not set; give FDPOSE_SHARDS}}
  if [ -z "${FDPOSE_SHARDS:-}" ] && [ "${SLURM_ARRAY_TASK_MIN:-1}-${SLURM_ARRAY_TASK_MAX:-$shards}" != "1-$shards" ]; then
    echo "the array is not 1 to $shards: give --array=1-N, or FDPOSE_SHARDS=N for some of N shards" >&2
    exit 2
  fi
  part=(--shard "$((SLURM_ARRAY_TASK_ID))/$shards")
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}

# The signals come to this shell alone; SIGTERM lets fdpose drop the current clips, keep the others and end with 130.
out_of_time=
end() { [ -z "${worker:-}" ] || kill -TERM "$worker" 2>/dev/null || true; }
trap end TERM
trap 'out_of_time=yes; end' USR1
echo "$(date +%FT%T) $(hostname): $fdpose extract $* ${part[*]}"
"$fdpose" extract "$@" "${part[@]}" &
worker=$!
while kill -0 "$worker" 2>/dev/null; do # a signal ends a wait before fdpose has ended
  wait "$worker" || true
done
code=0
wait "$worker" || code=$?

if [[ " $* " == *" --overwrite "* ]]; then
  out_of_time= # it would begin again each time, and never end
fi
if [ -n "$out_of_time" ] && [ "$code" -eq 130 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$MOST_RESTARTS" ]; then
  echo "$(date +%FT%T) the time is up: queued again, to go on with what is left"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
