"""The parts of a run over many series: which there are, what becomes of each, and how a run goes on."""
