"""Losses and indicators: pure functions of tensors."""
