"""Reports from a `Results` alone: a terminal table, Markdown, a model card, one HTML page, and two side by side."""

from spikeport.benchmarks.report.card import render_card
from spikeport.benchmarks.report.compare import render_comparison, write_comparison
from spikeport.benchmarks.report.html import render_html, write_html
from spikeport.benchmarks.report.markdown import render_markdown
from spikeport.benchmarks.report.terminal import print_comparison, print_table, render_table

__all__ = [
    "print_comparison",
    "print_table",
    "render_card",
    "render_comparison",
    "render_html",
    "render_markdown",
    "render_table",
    "write_comparison",
    "write_html",
]
