"""Tables for reading: frames with all digits that show as many as their errors allow.

Takes numbers and frames; gives `Table`, a DataFrame that differs in how it shows.
"""

from bayeslmm.tables.frame import (
    Table as Table,
    square_table as square_table,
    words as words,
)
from bayeslmm.tables.sentences import Sentences as Sentences
