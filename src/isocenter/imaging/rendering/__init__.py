"""Pictures of frames (PS3.3 C.11, PS3.14, PS3.18 8.3.5).

    header     what rendering needs of an object, from one scan of its header
    presentation, own, grey, graphics   how a frame is shown, made of the object's own attributes
    request    what a worker process is asked to draw

These are light. The others are the heavy side, which worker processes alone import (`drawing` is its way in).
"""
