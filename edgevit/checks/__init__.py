"""Parity and accuracy of a Runner beside its checkpoint."""
