"""A file a command: parse, call one workflow, print. Heavy imports stand inside the
functions."""
