"""How many pairs a wanted precision of the limits of agreement takes.

For the approximation this is Bland and Altman's 1.96 · sqrt(3 / n) · SD: 100 pairs give about ±0.34 SD.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import UsageError
from .bland_altman import half_width
from .estimate import APPROXIMATE, FEWEST, AgreementOptions

MOST = 1_000_000
MANY = 20_000
"""With more pairs the approximation differs from the exact width by less than 0.01 %."""


def sample_size_for_limits(sd: float, precision: float, options: AgreementOptions | None = None) -> int | None:
    """Smallest number of pairs for which the interval of a limit is at most ± `precision` wide.

    Parameters
    ----------
    sd : float
        Expected standard deviation of the differences.
    precision : float
        Wanted half-width, in the same unit.
    options : AgreementOptions, optional
        Its `interval` (MOVER is planned as the exact one), `confidence` and `coverage`.

    Returns
    -------
    int or None
        None if a million pairs are not enough.

    Raises
    ------
    UsageError
        If `sd` or `precision` is not above 0.
    """
    options = options or AgreementOptions()
    if not (sd > 0 and precision > 0):
        msg = "A sample size needs a standard deviation and a precision above 0."
        raise UsageError(msg)
    wanted = precision / sd
    simple = replace(options, interval=APPROXIMATE)
    guess = _smallest(wanted, simple, FEWEST - 1, MOST)
    if guess is None or options.interval == APPROXIMATE or guess > MANY:
        return guess
    # The exact number is near; quantiles of the non-central t take time.
    return _smallest(wanted, options, max(FEWEST - 1, guess // 2), 2 * guess + 50)


def _smallest(wanted: float, options: AgreementOptions, low: int, high: int) -> int | None:
    """By bisection; `low` is too few (or not allowed), None if `high` is not enough."""
    if half_width(high, options) > wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(middle, options) <= wanted else (middle, high)
    return high
