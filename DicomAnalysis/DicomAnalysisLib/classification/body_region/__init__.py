"""Which part of the body a CT slice or series shows, told in milliseconds without torch."""
