"""Work over many series: what was done, what is left."""
