"""posecli: find people's poses in pictures, from the command line and from Python.

from posecli import PoseEstimator

record = PoseEstimator().estimate("photo.jpg")
for pose in record.poses:
    print(pose.score, pose.keypoints[0].x, pose.keypoints[0].y)
"""

from typing import TYPE_CHECKING, Any

from posecli._version import __version__
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose, Record

if TYPE_CHECKING:
    from posecli.inference.estimator import PoseEstimator

__all__ = ["KEYPOINT_NAMES", "Keypoint", "Pose", "PoseEstimator", "Record", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the estimator, and NumPy and Pillow with it, on first use: `posecli --help` needs none of them."""
    if name == "PoseEstimator":
        from posecli.inference.estimator import PoseEstimator

        return PoseEstimator
    raise AttributeError(f"module 'posecli' has no attribute {name!r}")
