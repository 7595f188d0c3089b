#!/bin/sh
# Install Debian or Ubuntu packages where this user may, else say the line that does it.
# usage: apt.sh "what they are for" package...
what=$1
shift
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    sudo="no"
fi
if [ "$sudo" = no ] || ! command -v apt-get >/dev/null; then
    echo "talker needs $what, which is missing here; run: sudo apt-get install -y $*" >&2
    exit 2
fi
echo "installing $what: $*" >&2
$sudo apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null || {
    echo "could not install $what; run: sudo apt-get install -y $*" >&2
    exit 2
}
