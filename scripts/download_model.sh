#!/bin/sh
# Puts the PoseNet file into models/, whole and checked, or not at all. Safe to run twice.
#
#   scripts/download_model.sh [257|513] [SOURCE]
#
# SOURCE: a mirror's URL or a local file instead of the official address (also POSECLI_MODEL_URL).
# Needs sh, curl or wget, and sha256sum, shasum or openssl.
set -eu
cd "$(dirname "$0")/.."

size_name=257
case "${1:-}" in
    257 | 513) size_name=$1; shift ;;
esac
case $size_name in
    257) bytes=13269068 hash=7bcc1efa3010de45640406a4ce0acc2ef89a742021f11adacdca2fd6e494fa07 ;;
    513) bytes=13268992 hash=2fb9760d6912f77dc6347ad1067ae6f21b1a25015173e356b62547c57ced4ac5 ;;
esac
name=posenet_mobilenet_v1_100_${size_name}x${size_name}_multi_kpt_stripped.tflite
url=${1:-${POSECLI_MODEL_URL:-https://storage.googleapis.com/download.tensorflow.org/models/tflite/}}
case $url in
    */) url=$url$name ;;
esac
target=models/$name
part=$target.part

fail() {
    echo "$0: $*" >&2
    exit 1
}

sha256_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$1" | cut -d' ' -f1
    elif command -v shasum >/dev/null; then shasum -a 256 "$1" | cut -d' ' -f1
    elif command -v openssl >/dev/null; then openssl dgst -sha256 -r "$1" | cut -d' ' -f1
    else fail "sha256sum, shasum or openssl is needed to check the file"
    fi
}

is_right() {
    [ -f "$1" ] && [ "$(wc -c <"$1" | tr -d ' ')" = "$bytes" ] && [ "$(sha256_of "$1")" = "$hash" ]
}

# Continues what an earlier run left in $part.
fetch() {
    if [ -f "$url" ]; then
        cp "$url" "$part"
    elif command -v curl >/dev/null; then
        curl --fail --location --silent --show-error --connect-timeout 30 --speed-time 30 --speed-limit 1 \
            --continue-at - --output "$part" "$url"
    elif command -v wget >/dev/null; then
        wget --quiet --tries=1 --timeout=30 --continue --output-document="$part" "$url"
    else
        fail "curl or wget is needed to download"
    fi
}

mkdir -p models
if is_right "$target"; then
    echo "$target is there already and right"
    exit 0
fi
for pause in 0 1 2 4; do
    sleep "$pause"
    status=0
    is_right "$part" || fetch || status=$?
    # curl's 33: the server cannot continue a file, so it must be begun again.
    [ "$status" != 33 ] || rm -f "$part"
    if is_right "$part"; then
        mv "$part" "$target"
        echo "$target"
        exit 0
    fi
    # Whole or longer and still wrong: not a file to continue.
    if [ -f "$part" ] && [ "$(wc -c <"$part" | tr -d ' ')" -ge "$bytes" ]; then
        rm -f "$part"
    fi
done
found=nothing
[ -f "$part" ] && found="$(wc -c <"$part" | tr -d ' ') bytes"
fail "could not get $name from $url: expected $bytes bytes with SHA-256 $hash, got $found that differs"
