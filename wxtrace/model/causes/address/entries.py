"""The entries of the address.* causes."""

from __future__ import annotations

from wxtrace.model.causes.address.below_minimum import BELOW_MINIMUM
from wxtrace.model.causes.address.brk import BRK_COLLISION
from wxtrace.model.causes.address.occupied import OCCUPIED
from wxtrace.model.causes.address.room import NO_ROOM
from wxtrace.model.causes.address.special import SPECIAL_MAPPING
from wxtrace.model.causes.address.unmapped import UNMAPPED

__all__ = ["ADDRESSES"]

ADDRESSES = (UNMAPPED, OCCUPIED, BELOW_MINIMUM, NO_ROOM, SPECIAL_MAPPING, BRK_COLLISION)
