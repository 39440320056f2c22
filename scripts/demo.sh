#!/bin/sh
# Sets posecli up in .venv and finds the people in the sample pictures: annotated pictures and JSON in demo-output/.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup_environment ""
ensure_model
mkdir -p demo-output
"$venv/bin/posecli" estimate samples/three.jpg -o demo-output/three.json -a demo-output/three.png --draw scores --overwrite ||
    fail "posecli could not run; \`$venv/bin/posecli doctor\` may tell why"
"$venv/bin/python" - demo-output/three.json <<'PYTHON'
import json, sys
(record,) = json.load(open(sys.argv[1]))
for number, pose in enumerate(record["poses"], 1):
    nose = pose["keypoints"][0]
    print(f"person {number}: score {pose['score']:.2f}, nose at {nose['x']:.0f}, {nose['y']:.0f}")
PYTHON
echo "The picture: demo-output/three.png"
echo "The data:    demo-output/three.json"
