"""How long to wait between two tries."""

import random
import time
from typing import Optional

LEAST_S = 0.100
LONGEST_S = 5.0
SHARE = 0.5


class BackOff:
    def __init__(self) -> None:
        self._away_since: Optional[float] = None

    def reset(self) -> None:
        self._away_since = None

    def next_s(self) -> float:
        """A random time up to half of the time since it was good last."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        bound_s = max(LEAST_S, (now - self._away_since) * SHARE)
        return random.random() * min(bound_s, LONGEST_S)
