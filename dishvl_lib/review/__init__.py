"""Widgets in which a person looks at photos and names and decides about them.

name_review (what a dish is called) with name_sheet (its first questions as a picture, for batch),
suspect_review (photos that may show another dish), confusion_browser with browser_filters (where a
model erred). The last two give each photo a mark_card with a dish_picker; photo_marks is what can
be decided about a photo, and its file.
"""
