"""What goes to the log, alike for the terminal and for child processes."""

from __future__ import annotations

import logging
import sys
import warnings


def set_up_logging(verbose: bool = False) -> None:
    """Send the log to standard error.

    Parameters
    ----------
    verbose : bool
        Also details, tracebacks and the warnings of pydicom, which quote values of headers,
        patient names among them.
    """
    logging.basicConfig(level=logging.DEBUG if verbose else logging.ERROR, stream=sys.stderr)
    if not verbose:
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        logging.getLogger("pydicom").setLevel(logging.CRITICAL)
