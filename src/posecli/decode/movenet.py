"""Decoder of MoveNet SinglePose. The network itself chooses a person and outputs the position of each keypoint.

Source: Google's model card of MoveNet.SinglePose (output [1, 1, 17, 3]: y, x, score, in COCO's keypoint order).
"""

from __future__ import annotations

import numpy as np

from posecli.skeleton import KEYPOINT_COUNT
from posecli.types import DecodedPose, SinglePersonOutput


def decode_movenet(output: SinglePersonOutput) -> DecodedPose:
    """Decode the pose, in input pixels. There is always a pose, even if all its scores are low.

    Keypoint scores are clipped to 0..1. The pose's score is their mean.
    """
    values = output.values.reshape(KEYPOINT_COUNT, 3).astype(np.float64)
    scores = values[:, 2].clip(0, 1)
    return DecodedPose(xy=values[:, 1::-1] * output.input_size, scores=scores, score=float(scores.mean()))
