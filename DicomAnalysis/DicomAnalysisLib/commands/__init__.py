"""The commands of the terminal face, one module each.

A command module has

- ``NAME`` and ``HELP``: what the user types, and one line about it;
- ``add_arguments(parser)``: its own arguments; `--json` and `--verbose` are there already;
- ``run(arguments, console) -> int``: does the work, hands its result to `console`, returns
  the exit status.

It is added by its module's name in `MODULES`. Command modules are imported with the
parser, so they import what is heavy inside functions.
"""

MODULES = (
    "demo",
    "index",
    "list_series",
    "info",
    "body_region",
    "segment",
    "train_segmentation",
    "train_classifier",
    "classify",
    "fetch",
    "send",
    "models",
    "cohort",
    "agreement",
)
"""In the order of the help text."""
