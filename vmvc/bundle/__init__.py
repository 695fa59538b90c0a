"""A run's folder -> one file to hand on: a Process Run Crate with all that it takes to check and repeat it.

Reading order: ``judgement`` (may this run be handed on), ``inputs`` (files that the experiment names),
``material`` (what all texts are about), ``claims``, ``citation``, ``software`` and ``readme`` (its texts),
``crate`` (its metadata), ``archive`` (its bytes). ``vmvc.unpacking`` is the way back.
"""

from vmvc.bundle.making import LARGEST, Made, make

__all__ = ["LARGEST", "Made", "make"]
