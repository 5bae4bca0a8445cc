"""The only room that imports MMEngine, MMDetection and MMPose; always through
:mod:`.bridge`."""
