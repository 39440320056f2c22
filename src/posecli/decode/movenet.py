"""MoveNet SinglePose: the network itself chooses a person and says where each keypoint lies.

Source: Google's model card of MoveNet.SinglePose (output [1, 1, 17, 3]: y, x, score, in COCO's order of keypoints).
"""

from __future__ import annotations

import numpy as np

from posecli.skeleton import KEYPOINT_COUNT
from posecli.types import DecodedPose, SinglePersonOutput


def decode_movenet(output: SinglePersonOutput) -> DecodedPose:
    """The one person, in input pixels. There is always a pose, however low its scores.

    Scores are kept within 0..1; the pose's score is their mean.
    """
    values = output.values.reshape(KEYPOINT_COUNT, 3).astype(np.float64)
    scores = values[:, 2].clip(0, 1)
    return DecodedPose(xy=values[:, 1::-1] * output.input_size, scores=scores, score=float(scores.mean()))
