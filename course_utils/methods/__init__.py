"""Ways to learn and to use a model; each a small set of functions that know no study."""
