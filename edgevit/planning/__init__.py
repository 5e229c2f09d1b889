"""Which models there could be, which of them are measured, and what follows for the rest."""
