"""How good a model is: evaluation, metrics, intervals, baselines, retrieval."""
