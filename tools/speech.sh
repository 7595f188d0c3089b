#!/bin/sh
[ "$(uname)" = Linux ] || exit 1
# Make sure that the synthesisers of the corpus' tests are there: flite, espeak-ng, and festival with the two voices they use.
packages=""
for program in flite espeak-ng festival; do
    command -v $program >/dev/null || packages="$packages $program"
done
for voice in ked_diphone:festvox-kdlpc16k czech_dita:festvox-czech-dita; do
    ls -d /usr/share/festival/voices/*/${voice%%:*} >/dev/null 2>&1 || packages="$packages ${voice#*:}"
done
# The library that reads with espeak-ng's own times.
(ldconfig -p 2>/dev/null || /sbin/ldconfig -p) | grep -q libespeak-ng.so.1 || packages="$packages libespeak-ng1"
[ -n "$packages" ] || exit 0
exec sh "$(dirname "$0")/apt.sh" "speech synthesis" $packages
