#!/bin/sh
# Make sure that the libraries which draw are there: libEGL, libGL, and a driver (a GPU's or Mesa's).
[ "$(uname)" = Linux ] || exit 0 # Windows and macOS bring OpenGL along
libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
for library in libEGL.so.1 libGL.so.1; do
    case $libraries in
        *"$library "*) ;;
        *) missing=yes ;;
    esac
done
# A driver announces itself to the EGL loader by a JSON file.
found=$(find /usr/share/glvnd/egl_vendor.d /etc/glvnd/egl_vendor.d -name '*.json' 2>/dev/null)
if [ -n "$missing" ] || [ -z "$found" ]; then
    exec sh "$(dirname "$0")/apt.sh" "OpenGL" libegl1 libgl1 libgl1-mesa-dri
fi
