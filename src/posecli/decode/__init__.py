"""Decoders: they turn a network's outputs into poses, in pure NumPy.

This package does not depend on pictures, files or the network itself.
"""

from collections.abc import Callable

from posecli.decode.movenet import decode_movenet
from posecli.decode.multi import decode_multi
from posecli.decode.single import decode_single
from posecli.types import DecodedPose, SinglePersonOutput

#: Decoders of single-person networks, by the network's name in `model.heads`.
SINGLE_PERSON_DECODERS: dict[str, Callable[[SinglePersonOutput], DecodedPose]] = {"movenet": decode_movenet}

__all__ = ["SINGLE_PERSON_DECODERS", "decode_multi", "decode_output", "decode_single"]


def decode_output(output: SinglePersonOutput) -> DecodedPose:
    """Decode the output of a single-person network to a pose in input pixels."""
    return SINGLE_PERSON_DECODERS[output.network](output)
