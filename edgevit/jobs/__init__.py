"""What the child processes do: each function is one stage, from folders and names to a noun. `pipeline` puts them in order."""
