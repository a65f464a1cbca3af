"""`python -m spikeport.export.support FILE` writes the support table as Markdown."""

from __future__ import annotations

import sys
from pathlib import Path

from spikeport.export.support import CASES, rows
from spikeport.export.support.page import page

Path(sys.argv[1]).write_text(page(rows(CASES)), encoding="utf-8")
