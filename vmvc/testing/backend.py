"""A backend -> a test for every promise that ``vmvc.contract`` makes in its name."""

from __future__ import annotations

from vmvc.testing.backend_inside import InsideTests
from vmvc.testing.backend_life import LifeTests
from vmvc.testing.backend_object import ObjectTests
from vmvc.testing.backend_sight import SightTests
from vmvc.testing.backend_tags import TagTests


# pytest runs the tests of the last class first.
class BackendContract(TagTests, SightTests, InsideTests, LifeTests, ObjectTests):
    """Inherit, and fill in ``backend`` and ``guest``; override what differs on your platform.

    The hooks, and what each is asked, are those of ``vmvc.testing.hooks``. Tests that leave an instance as it
    is share one, since bringing it up may take a minute.
    """
