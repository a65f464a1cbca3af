"""Reports from a `Results` alone: a terminal table, Markdown, and one HTML page that opens offline."""

from spikeport.benchmarks.report.html import render_html, write_html
from spikeport.benchmarks.report.markdown import render_markdown
from spikeport.benchmarks.report.terminal import print_table, render_table

__all__ = ["print_table", "render_html", "render_markdown", "render_table", "write_html"]
