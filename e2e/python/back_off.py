"""How long to wait between two tries."""

import random

FIRST_S = 0.100
LONGEST_S = 5.0


class BackOff:
    def __init__(self) -> None:
        self._delay_s = FIRST_S

    def reset(self) -> None:
        self._delay_s = FIRST_S

    def next_s(self) -> float:
        """Doubles, each time with a random share of up to a half taken off."""
        delay_s = self._delay_s * (1 - random.random() / 2)
        self._delay_s = min(self._delay_s * 2, LONGEST_S)
        return delay_s
