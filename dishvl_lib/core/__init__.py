"""The ground floor: paths, records, images, names, questions, intervals, settings. Imports nothing
of ours.
"""
