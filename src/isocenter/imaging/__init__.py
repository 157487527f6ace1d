"""Pixels: frames, codecs, transcoding.

The planning side (everything but the modules below) reads headers and moves bytes; it is imported anywhere. The heavy
side is `arrays`, `decoding`, `encoding`, `work` and what makes pictures in `rendering`: it is imported by the worker
processes alone (`workers.Pool`), so that a codec's crash, a hang or its memory costs one request and never the server.
"""
