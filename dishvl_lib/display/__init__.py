"""Figures and offline HTML, to look at.

Pictures: figures (photos of dishes; the others but trays can be called from there), charts,
look_alikes, cluster_matrix, trays. Pages: report with report_pairs, preview. In notebooks and pages:
tables, cards. What they are made of: sheet with fonts, pages (with templates/ and static/), words.
"""
