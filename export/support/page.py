"""The support table as a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from spikeport.export.support.table import Row

COMMAND = "python -m spikeport.export.support docs/support.md"
HEAD = f"""# What each layer, neuron and call becomes

Written by `{COMMAND}`, which exports a small example of every row and audits it against snnTorch at every
neuron node; `spikeport list layers` prints the same. A test holds this page to the code.

- **exact**: NIR nodes that are the same network, spike for spike.
- **exact after a rewrite**: the same, in another form; the last column says which.
- **host stage**: what no chip has becomes an ONNX stage between the chip's, run by onnxruntime and held against torch.
- **refused**: an error that names the layer, the reason and the nearest faithful choice: the last column.
"""


def page(table: Iterable[Row]) -> str:
    """Return the whole page."""
    table = list(table)
    counts = Counter(r.verdict for r in table)
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    sections = [
        section(group, [r for r in table if r.group == group]) for group in dict.fromkeys(r.group for r in table)
    ]
    return f"{HEAD}\n{len(table)} rows: {said}.\n" + "".join(sections)


def section(group: str, table: list[Row]) -> str:
    """Return one group's table."""
    lines = [f"\n## {group}\n", "| what | form | outcome | in NIR | how, or why not |", "|---|---|---|---|---|"]
    for r in table:
        cells = (f"**{r.subject}**", "<br>".join(r.settings), r.verdict, ", ".join(r.nodes), _notes(r))
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _notes(row: Row) -> str:
    return ". ".join(_sentence(note) for note in row.notes if note)


def _sentence(text: str) -> str:
    """Begin with a capital, unless the first word is a name."""
    first = text.split()[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first != "snnTorch" else text
