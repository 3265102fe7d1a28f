"""How far the requests are that gave themselves a name: for whoever knows that name, and for nobody else."""

from __future__ import annotations

import time
from collections import OrderedDict

from retouche.apps.server import schema
from retouche.apps.server.queue import Place

KEPT = 200
"""Names kept after their requests have ended; the oldest make room. Those in hand are bounded by the queue."""


class NameTaken(Exception):
    """A request of this name is in hand."""


class Register:
    """Places in the queue by the names that their clients chose. On the event loop's thread only."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, Place] = OrderedDict()

    def enter(self, name: str, place: Place) -> None:
        """Keep a request's place under its name; one that has ended makes room for a new one of the same name.

        Raises: NameTaken
        """
        before = self._places.pop(name, None)
        if before is not None and before.ended is None:
            self._places[name] = before
            raise NameTaken
        self._places[name] = place
        ended = [each for each, its_place in self._places.items() if its_place.ended is not None]
        for each in ended[: max(0, len(ended) - KEPT)]:
            del self._places[each]

    def state(self, name: str) -> schema.JobState:
        """How the request of this name is; an unknown name is no error, as the request may be on its way."""
        place = self._places.get(name)
        if place is None:
            return schema.JobState(state="unknown")
        now = time.monotonic() if place.ended is None else place.ended
        seconds = round(now - (place.taken if place.begun is None else place.begun), 3)
        if place.ended is not None and place.failed:
            return schema.JobState(state="failed", seconds=seconds)
        if place.ended is not None:
            return schema.JobState(state="done", fraction=1.0, seconds=seconds)
        if place.begun is None:
            return schema.JobState(state="waiting", place=place.before() + 1, seconds=seconds)
        return schema.JobState(state="running", fraction=place.fraction, seconds=seconds)
