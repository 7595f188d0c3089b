"""Motion of the corpus: phones to coefficients, for one style."""
