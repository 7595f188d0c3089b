"""Sources of training data, and the prepared dataset that they become."""
