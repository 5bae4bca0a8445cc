"""Action quality assessment: what a dive scores, and when it takes off, flies and
enters."""
