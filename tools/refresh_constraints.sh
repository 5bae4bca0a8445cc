#!/usr/bin/env bash
# Resolves every extra anew and rewrites constraints.txt, for Python 3.11 and 3.12 at once. Run it in the
# environment (`make env`), then `make test-all`; commit both together.
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
pins='torch==2.13.0'  # the newest version with a CPU wheel for all supported Pythons
.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --quiet --no-header \
  --no-annotate --no-emit-index-url --no-emit-find-links --constraints <(echo "$pins") >"$new"
{
  echo '# Every version this project is tested with, for Python 3.11 and 3.12. Written by tools/refresh_constraints.sh.'
  echo '# The OpenMMLab packages are installed without their declared dependencies; see pyproject.toml.'
  echo 'onedl-mmengine==0.10.12'
  echo 'mmcv-lite==2.1.0'
  echo 'mmdet==3.3.0'
  echo 'mmpose==1.3.2'
  echo "uv==$(.venv/bin/uv --version | cut -d' ' -f2)"
  sed -E 's/\+cpu//' "$new"
} >constraints.txt
