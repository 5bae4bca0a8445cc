"""From annotations, images or features, and skeletons to the batches that the score
model reads."""
