"""From the network's maps to people, in pure NumPy. Decoders know nothing of pictures, files or the network."""

from posecli.decode.multi import decode_multi
from posecli.decode.single import decode_single

__all__ = ["decode_multi", "decode_single"]
