"""How good a classifier is: scores with intervals over patients, beside what anybody reaches without a network."""
