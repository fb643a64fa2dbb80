"""Settings chosen on the validation split, and the vectors that they give."""
