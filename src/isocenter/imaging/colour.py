"""What colour a frame has once it is decoded: by its stream where that tells, whatever the object says of it."""

from isocenter.imaging.codestreams import HTJ2K, JPEG, JPEG_2000, JPEG_XL, Stream


def is_ybr(photometric: str, stream: Stream) -> bool:
    """Whether a JPEG stream of three components holds luminance and chrominance. An Adobe or JFIF marker, component
    ids and shared chrominance tell; else the object is believed."""
    return stream.transform if stream.transform is not None else photometric != "RGB"


def after_decoding(photometric: str, samples: int, stream: Stream | None) -> str:
    """The photometric interpretation of the decoded frame; `stream` is None for frames that are no stream."""
    if samples != 3:
        return photometric
    if stream is not None:
        if stream.coder in (JPEG, JPEG_XL):
            return "RGB"  # decoders give no other
        if stream.coder in (JPEG_2000, HTJ2K) and (stream.transform or photometric in ("YBR_RCT", "YBR_ICT")):
            return "RGB"
    return "YBR_FULL" if photometric in ("YBR_FULL_422", "YBR_RCT", "YBR_ICT") else photometric
