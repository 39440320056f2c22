"""From the network's outputs to people, in pure NumPy. Decoders know nothing of pictures, files or the network."""

from collections.abc import Callable

from posecli.decode.movenet import decode_movenet
from posecli.decode.multi import decode_multi
from posecli.decode.single import decode_single
from posecli.types import DecodedPose, SinglePersonOutput

#: Decoders of networks for a single person, by the network's name in `model.heads`.
SINGLE_PERSON_DECODERS: dict[str, Callable[[SinglePersonOutput], DecodedPose]] = {"movenet": decode_movenet}

__all__ = ["SINGLE_PERSON_DECODERS", "decode_multi", "decode_output", "decode_single"]


def decode_output(output: SinglePersonOutput) -> DecodedPose:
    """The person that a network for a single person found, in input pixels."""
    return SINGLE_PERSON_DECODERS[output.network](output)
