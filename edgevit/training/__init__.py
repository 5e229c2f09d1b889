"""From a data source to a checkpoint."""
