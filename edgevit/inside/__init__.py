"""What a trained Vision Transformer sees and where it looks, in figures (paper, section 4.5 and appendix D.7 and D.8)."""
