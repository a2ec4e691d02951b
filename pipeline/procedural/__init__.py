"""Data sets with exact mementos, computed instead of written by a model: for proofs and first trials.

`register_machine` is the task; `dataset` takes its traces through the records stage and publishes them,
so that they are loaded and trained on like any other data set.
"""
