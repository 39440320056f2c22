#!/bin/sh
# Installs posecli in .venv and finds the people in a sample picture. Writes an annotated picture and JSON to
# demo-output/.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup_environment ""
ensure_model
mkdir -p demo-output
"$venv/bin/posecli" estimate samples/three.jpg -o demo-output/three.json -a demo-output/three.png --draw scores --overwrite ||
    fail "posecli failed. Run \`$venv/bin/posecli doctor\` to find the cause."
"$venv/bin/python" - demo-output/three.json <<'PYTHON'
import json, sys
(record,) = json.load(open(sys.argv[1]))
for number, pose in enumerate(record["poses"], 1):
    nose = pose["keypoints"][0]
    print(f"person {number}: score {pose['score']:.2f}, nose at {nose['x']:.0f}, {nose['y']:.0f}")
PYTHON
echo "Picture: demo-output/three.png"
echo "Data:    demo-output/three.json"
