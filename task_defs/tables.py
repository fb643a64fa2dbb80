"""Tables as text: what stands between cells, what quotes mean, and the cells."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Literal

TABLES = {".csv": ",;|\t", ".tsv": "\t"}
"""Signs that may stand between cells, by a file's ending: a .csv is written with any of these."""

QUOTED = re.compile(r'"(?:[^"]|"")*"')
SAID = re.compile(r"sep=(.)\r?\n")
"""The line with which a spreadsheet is told the sign."""


def separated(kind: str, text: str) -> tuple[str, str]:
    """Return what stands between the cells of a table, and the table without a line that says so.

    It is the first sign by which every line has as many cells as the header and more than one, and
    where there is none the one that the header has most of.

    Args:
        kind: The file's ending; of another file than `.csv` and `.tsv` it is the tab.
        text: The whole table.
    """
    if told := SAID.match(text):
        return told[1], text[told.end() :]
    signs = TABLES.get(kind, "\t")
    header = text.partition("\n")[0]
    return next((sign for sign in signs if _fits(text, sign)), max(signs, key=header.count)), text


def _fits(text: str, sign: str) -> bool:
    try:
        widths = {len(found) for _, found in cells(text, sign) if any(map(str.strip, found))}
    except csv.Error:
        return False
    return len(widths) == 1 and widths != {1}


def cells(text: str, sign: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row with the line they end in.

    Raises:
        csv.Error: A quote without an end.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, quoting=quoting(text, sign))
    for found in reader:
        yield reader.line_num, found


def quoting(text: str, sign: str) -> Literal[0, 3]:
    """Return how the csv module is to read the quotes of a table.

    Text between tabs may hold quotes that mean nothing. They do where each line has as many cells
    as the first one without them, and no cell is quoted or some cell only begins with a quote.

    Args:
        text: The whole table.
        sign: What stands between cells.
    """
    if sign != "\t":
        return csv.QUOTE_MINIMAL
    lines = [line.split(sign) for line in re.split(r"\r?\n|\r", text) if line.strip()]
    begun = [cell for found in lines for cell in found if cell.startswith('"')]
    whole = [bool(QUOTED.fullmatch(cell)) for cell in begun]
    alike = all(len(found) == len(lines[0]) for found in lines)
    return csv.QUOTE_NONE if alike and not (whole and all(whole)) else csv.QUOTE_MINIMAL
