"""Durable background work: a queue of rows, and the runner that carries them out."""

from isocenter.jobs.queue import Job, Queue
from isocenter.jobs.runner import Again, Handler, Runner, Running

__all__ = ["Again", "Handler", "Job", "Queue", "Runner", "Running"]
