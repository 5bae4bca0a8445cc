"""FineDiving-Pose: diving video into skeletons, and skeletons into scores."""

__version__ = "0.1.0"
