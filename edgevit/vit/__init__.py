"""The model of "An Image is Worth 16x16 Words" (Dosovitskiy et al., arXiv 2010.11929)."""
