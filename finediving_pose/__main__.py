"""``python -m finediving_pose``, which is how torchrun starts it."""

from finediving_pose.cli.main import main

main()
