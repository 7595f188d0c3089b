"""Motion of the corpus: from phones to coefficients, for one style."""
