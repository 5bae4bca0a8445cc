"""Score models and their components, a file a component. V videos are B queries, then
their B exemplars; T is time, C and D are channels.

:mod:`finediving_pose.aqa.score_models` lists the models.
"""
