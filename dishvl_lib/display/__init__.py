"""Figures and offline HTML, to look at.

Pictures: figures (photos of dishes; the others but trays can be called from there), charts,
look_alikes, cluster_matrix, trays. Pages: report with report_pairs, preview. On pages and in
notebooks: cards, tables. What they are made of: sheet with fonts, pages (with templates/ and
static/), words.
"""
