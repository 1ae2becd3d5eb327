"""Features of series: numbers that a table of a cohort holds, measured by a network or by readable rules."""
