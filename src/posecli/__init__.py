"""posecli: find people's poses in pictures, from the command line and from Python.

import posecli

record = posecli.PoseEstimator().estimate("photo.jpg")
for pose in record.poses:
    print(pose.score, pose.keypoints[0].x, pose.keypoints[0].y)
posecli.draw("photo.jpg", record).save("drawn.png")
"""

from typing import TYPE_CHECKING, Any

from posecli._version import __version__
from posecli.errors import InputError, PosecliError, UsageError
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose, Record

if TYPE_CHECKING:
    from posecli.api import ClipFrame, draw, frames
    from posecli.inference.estimator import PoseEstimator

__all__ = [
    "KEYPOINT_NAMES",
    "ClipFrame",
    "InputError",
    "Keypoint",
    "Pose",
    "PoseEstimator",
    "PosecliError",
    "Record",
    "UsageError",
    "__version__",
    "draw",
    "frames",
]

#: Name → its module. These modules import NumPy and Pillow, which `posecli --help` does not need. Therefore they are
#: imported on first use.
_LAZY = {
    "PoseEstimator": "posecli.inference.estimator",
    "ClipFrame": "posecli.api",
    "draw": "posecli.api",
    "frames": "posecli.api",
}


def __getattr__(name: str) -> Any:
    """Import the names of `_LAZY` on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'posecli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """All public names, including those of `_LAZY`."""
    return sorted({*globals(), *__all__})
