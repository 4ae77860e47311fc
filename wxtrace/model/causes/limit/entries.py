"""All causes of the family."""

from __future__ import annotations

from wxtrace.model.causes.limit.aio import AIO
from wxtrace.model.causes.limit.fds import FDS
from wxtrace.model.causes.limit.hugepages import HUGEPAGES
from wxtrace.model.causes.limit.map_count import MAP_COUNT
from wxtrace.model.causes.limit.memlock import MEMLOCK
from wxtrace.model.causes.limit.overcommit import OVERCOMMIT
from wxtrace.model.causes.limit.size import ADDRESS_SPACE, DATA

__all__ = ["LIMITS"]

LIMITS = (ADDRESS_SPACE, DATA, MEMLOCK, MAP_COUNT, OVERCOMMIT, HUGEPAGES, FDS, AIO)
