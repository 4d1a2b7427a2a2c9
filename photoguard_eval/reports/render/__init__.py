"""Prints a document: on a terminal, as Markdown, as a page."""
