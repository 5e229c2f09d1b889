"""The command line: parse, call, print. Nothing else prints, and nothing else imports typer."""

from edgevit.cli.app import main

__all__ = ["main"]
