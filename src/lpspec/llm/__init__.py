"""What work there is: model dimensions and the operators of a pass."""
