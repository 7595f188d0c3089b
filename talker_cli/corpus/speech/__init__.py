"""Speech of the corpus: human recordings and synthetic voices, with their texts."""
