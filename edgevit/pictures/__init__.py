"""Figures as pictures with words: what a model sees, and how good its answers are. matplotlib draws; nothing is measured here."""
