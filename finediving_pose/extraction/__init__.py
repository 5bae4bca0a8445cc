"""From clips to skeletons. Detector and pose estimator come in as callables."""
