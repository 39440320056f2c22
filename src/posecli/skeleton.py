"""PoseNet's keypoints, their part tree and their flip pairs: data only. Left and right are the person's own."""

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
#: (parent, child) keypoint ids of each edge, in the order of the channels of the displacement maps.
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
#: Pairs of keypoint ids that annotated pictures join with a line.
DRAWN_EDGES = tuple((KEYPOINT_IDS[a], KEYPOINT_IDS[b]) for a, b in _DRAWN_NAMES)


_OTHER_SIDE = {"left": "right", "right": "left"}


def _mirrored_name(name: str) -> str:
    side = next((side for side in _OTHER_SIDE if name.startswith(side)), "")
    return _OTHER_SIDE[side] + name[len(side) :] if side else name


#: Flip pairs: the keypoint on the other side of the body by keypoint id, and the edge there by edge number.
FLIP_PAIRS = tuple(KEYPOINT_IDS[_mirrored_name(name)] for name in KEYPOINT_NAMES)
FLIPPED_EDGES = tuple(PART_TREE.index((FLIP_PAIRS[parent], FLIP_PAIRS[child])) for parent, child in PART_TREE)

#: COCO's constants for OKS: the spread of annotations of each keypoint, relative to a person's size.
OKS_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
)  # fmt: skip


def side_of(part: int) -> str:
    """The side of the person that a keypoint id is on: `left`, `right` or `middle`."""
    name = KEYPOINT_NAMES[part]
    return next((side for side in ("left", "right") if name.startswith(side)), "middle")
