"""Classification of series: cohorts, recipes, splits, networks, evaluation, prediction, explanation.

Nothing heavy is imported here; every submodule names what it needs where it needs it.
"""
