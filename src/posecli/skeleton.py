"""The body as PoseNet knows it: data only. Left and right are the person's own."""

KEYPOINT_NAMES = (
    "nose",
    "leftEye",
    "rightEye",
    "leftEar",
    "rightEar",
    "leftShoulder",
    "rightShoulder",
    "leftElbow",
    "rightElbow",
    "leftWrist",
    "rightWrist",
    "leftHip",
    "rightHip",
    "leftKnee",
    "rightKnee",
    "leftAnkle",
    "rightAnkle",
)
KEYPOINT_COUNT = len(KEYPOINT_NAMES)
KEYPOINT_IDS = {name: index for index, name in enumerate(KEYPOINT_NAMES)}

_TREE_NAMES = (
    ("nose", "leftEye"),
    ("leftEye", "leftEar"),
    ("nose", "rightEye"),
    ("rightEye", "rightEar"),
    ("nose", "leftShoulder"),
    ("leftShoulder", "leftElbow"),
    ("leftElbow", "leftWrist"),
    ("leftShoulder", "leftHip"),
    ("leftHip", "leftKnee"),
    ("leftKnee", "leftAnkle"),
    ("nose", "rightShoulder"),
    ("rightShoulder", "rightElbow"),
    ("rightElbow", "rightWrist"),
    ("rightShoulder", "rightHip"),
    ("rightHip", "rightKnee"),
    ("rightKnee", "rightAnkle"),
)
#: (parent, child) keypoint ids: edge e of the displacement maps joins these two.
PART_TREE = tuple((KEYPOINT_IDS[parent], KEYPOINT_IDS[child]) for parent, child in _TREE_NAMES)
EDGE_COUNT = len(PART_TREE)

_DRAWN_NAMES = (
    ("leftEar", "leftEye"),
    ("leftEye", "nose"),
    ("nose", "rightEye"),
    ("rightEye", "rightEar"),
    ("leftShoulder", "rightShoulder"),
    ("leftShoulder", "leftElbow"),
    ("leftElbow", "leftWrist"),
    ("rightShoulder", "rightElbow"),
    ("rightElbow", "rightWrist"),
    ("leftShoulder", "leftHip"),
    ("rightShoulder", "rightHip"),
    ("leftHip", "rightHip"),
    ("leftHip", "leftKnee"),
    ("leftKnee", "leftAnkle"),
    ("rightHip", "rightKnee"),
    ("rightKnee", "rightAnkle"),
)
#: Pairs of keypoint ids joined by a line in pictures.
DRAWN_EDGES = tuple((KEYPOINT_IDS[a], KEYPOINT_IDS[b]) for a, b in _DRAWN_NAMES)


def side_of(part: int) -> str:
    """`left`, `right` or `middle`: which side of the person a keypoint id is on."""
    name = KEYPOINT_NAMES[part]
    return next((side for side in ("left", "right") if name.startswith(side)), "middle")
