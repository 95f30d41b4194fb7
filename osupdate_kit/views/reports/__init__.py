"""What is handed on: one frozen report, written as HTML, PDF, Excel and CSV."""

from osupdate_kit.views.reports.pdf import browser
from osupdate_kit.views.reports.value import Act, Report, report_of
from osupdate_kit.views.reports.write import Format, write_report

__all__ = ["Act", "Format", "Report", "browser", "report_of", "write_report"]
