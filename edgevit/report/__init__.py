"""From one Report to three files: `report.json` (the record), `report.md` and `report.html` (what people read)."""

from edgevit.report.files import HTML, JSON, MARKDOWN, write

__all__ = ["HTML", "JSON", "MARKDOWN", "write"]
