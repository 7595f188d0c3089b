#!/bin/sh
# Fetch ICT-FaceKit's light head into a folder: MIT licence, (c) USC Institute for Creative Technologies; 0.7 GB.
#
#     sh tools/fetch_ict.sh ICT-FaceKit && talker head --from ICT-FaceKit/FaceXModel -o ict.glb
#
# The licence is ICT-FaceKit/LICENSE. Nothing of it is part of talker.
set -e
[ -n "$1" ] || { echo "usage: sh tools/fetch_ict.sh FOLDER" >&2; exit 2; }
git clone --depth 1 https://github.com/ICT-VGL/ICT-FaceKit "$1"
