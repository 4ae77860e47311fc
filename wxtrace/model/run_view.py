"""What a story that is being told and a timeline that was read both offer to views."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Protocol, Sequence

if TYPE_CHECKING:
    from wxtrace.model.facts import RunStarted
    from wxtrace.model.processes import Process, SpaceState

__all__ = ["MapView", "OriginWords", "RunView"]


class RunView(Protocol):
    """A run, as far as it is known."""

    @property
    def run(self) -> Optional[RunStarted]:
        """How it began; None before that is known."""

    @property
    def processes(self) -> List[Process]:
        """Every process so far, by id from 1."""

    @property
    def spaces(self) -> List[SpaceState]:
        """Every address space so far."""

    @property
    def lost(self) -> Optional[str]:
        """Why the record is incomplete; None where it is not."""

    @property
    def duration_ns(self) -> int:
        """From its start to the last that is known."""

    @property
    def checked(self) -> int:
        """How often the map was compared with /proc/PID/maps."""

    @property
    def mismatches(self) -> int:
        """How often they differed."""

    @property
    def dropped(self) -> int:
        """Calls that were not kept."""


class OriginWords(Protocol):
    """How regions became executable (wxtrace.model.origins)."""

    def of(self, region: Optional[int]) -> Optional[str]:
        """The word for a region, by id; None when it never was executable."""


class MapView(Protocol):
    """The maps at one moment of a run."""

    @property
    def spaces(self) -> Sequence[SpaceState]:
        """Every address space until then."""

    @property
    def origins(self) -> OriginWords:
        """How their regions became executable."""
