"""The allocation half of the scheduler: which device holds and computes which columns."""
