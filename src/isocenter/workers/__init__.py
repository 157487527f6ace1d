"""Work in processes of their own: started when first needed, a few at most, gone when idle, replaced when they die.

`pool` is the asking side, `serving` the program's. Both import nothing heavy: what the work needs is imported by the
program that does it.
"""

from isocenter.workers.pool import Pool, WorkerLate, WorkerLost

__all__ = ["Pool", "WorkerLate", "WorkerLost"]
