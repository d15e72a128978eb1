"""Figures and offline HTML, to look at.

Pictures: figures (photos of dishes; the others can be called from there), charts, curves,
cluster_matrix, look_alikes, review_sheet. Pages: report with report_pairs, preview, dish_doubts.
What they are made of: sheet, photo_book, cards, pages (with templates/ and static/), fonts, words.
"""
