"""Models: tensors in, tensors out. They know no files, devices or progress bars."""
