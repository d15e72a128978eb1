"""Figures, offline HTML and widgets."""
