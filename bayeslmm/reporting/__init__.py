"""Fits -> text, HTML and JSON; the room that formats numbers.

Takes a model and its fits; gives what a person reads (tables on a terminal, a
self-contained page, the formula explained) and what a program reads (``summary.json``).
Nothing is imported here: tables on a terminal need neither figures nor pages.
"""
