"""A task on every series of a source, by several processes: killed at any moment, it goes on where it was."""
