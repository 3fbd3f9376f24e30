"""Models and fits <-> one file of plain numbers and names, without any code in it.

Takes objects that cross rooms (frozen dataclasses that are listed in `forms`); gives
JSON with arrays beside it (`codec`), and a file of both with its checksum (`file`).
"""
