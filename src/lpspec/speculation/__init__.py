"""The speculation half of the scheduler: token trees, accuracy, growth, rank traces."""
