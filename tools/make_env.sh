#!/usr/bin/env bash
# Makes or refreshes the environment `.venv`, and does nothing when nothing it depends on changed.
#
#   tools/make_env.sh                 what `make env` runs
#   PYTHON=/path/to/python3.12        the interpreter to build on (default: the first fit one found)
#   FDPOSE_EXTRAS=pose,dev,labelme    the extras to install (default: pose,aqa,ray,dev,docs)
#   FDPOSE_TORCH=system               use the torch (and torchvision) of that interpreter, as on GPU images
set -euo pipefail
cd "$(dirname "$0")/.."

extras=${FDPOSE_EXTRAS:-pose,aqa,ray,dev,docs}
torch=${FDPOSE_TORCH:-pinned}
venv=.venv
python=$venv/bin/python

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

find_python() {
  for candidate in ${PYTHON:-python3 python3.12 python3.11}; do
    if fits "$candidate"; then command -v "$candidate"; return; fi
  done
  echo "make env: found no Python 3.11 or 3.12 (python3 is $(python3 --version 2>&1))." >&2
  echo "  Install one (Debian, Ubuntu: apt-get install python3.12 python3.12-venv) or name it: make env PYTHON=/path/to/python3.12" >&2
  exit 4
}

fingerprint() {
  { "$1" -VV; echo "$extras $torch"; cat pyproject.toml constraints.txt tools/make_env.sh; } | sha256sum | cut -d' ' -f1
}

base=$(find_python)
want=$(fingerprint "$base")
if [ -x "$python" ] && [ "$(cat "$venv/.fdpose-env" 2>/dev/null)" = "$want" ]; then exit 0; fi

echo "make env: building $venv with $("$base" --version), extras: $extras" >&2
venv_options=()
if [ "$torch" = system ]; then venv_options+=(--system-site-packages); fi
rm -f "$venv/.fdpose-env"
if ! "$base" -m venv --clear "${venv_options[@]}" "$venv"; then
  echo "make env: this Python cannot make environments. Debian, Ubuntu: apt-get install python3-venv" >&2
  exit 4
fi

# uv reads neither PIP_FIND_LINKS nor pip's configuration: hand both on, or it resolves several GB of CUDA
# packages where pip was told about a CPU build of torch.
if [ -z "${UV_FIND_LINKS:-}" ]; then
  links=${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}
  if [ -n "$links" ]; then UV_FIND_LINKS=$(echo "$links" | tr -s ' \n' ',,'); export UV_FIND_LINKS=${UV_FIND_LINKS%,}; fi
fi
if [ -z "${UV_DEFAULT_INDEX:-}" ]; then
  index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
fi

constraints=$venv/constraints.txt
if [ "$torch" = system ]; then
  # uv does not see the packages below a venv: leave torch out of the resolution, it is already there.
  grep -vE '^torch==' constraints.txt >"$constraints"
  echo "torch; sys_platform == 'never'" >"$venv/overrides.txt"
  overrides=(--overrides "$venv/overrides.txt")
else
  cp constraints.txt "$constraints"
  overrides=()
fi

"$python" -m pip install --quiet --disable-pip-version-check "$(grep -E '^uv==' constraints.txt)"
uv=("$venv/bin/uv" pip install --quiet --compile-bytecode --python "$python" --constraints "$constraints")
"${uv[@]}" "${overrides[@]}" --editable ".[$extras]"
case ",$extras," in *,pose,*)
  # Without their dependencies, for the reasons beside the extra `pose` in pyproject.toml.
  mapfile -t openmmlab < <(grep -E '^(onedl-mmengine|mmcv-lite|mmdet|mmpose)==' constraints.txt)
  "${uv[@]}" --no-deps "${openmmlab[@]}"
esac

echo "$want" >"$venv/.fdpose-env"
echo "make env: done; $venv/bin/fdpose doctor shows what it found" >&2
