"""Figures, offline HTML and widgets.

Pictures: figures (photos of dishes; the others can be called from there), charts, curves,
cluster_matrix, look_alikes, review_sheet. Pages: report with report_pairs, preview. Widgets:
confusion_browser with browser_filters, name_review. What they are made of: sheet, photo_book,
cards, pages (with templates/ and static/), fonts, words.
"""
