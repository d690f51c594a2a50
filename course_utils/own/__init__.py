"""The reader's own pictures: train, ask, a worked example."""
