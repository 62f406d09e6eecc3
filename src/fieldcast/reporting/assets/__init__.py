"""The parts of the one-file report: its template, its style and its scripts, joined by `report.write_report`."""
