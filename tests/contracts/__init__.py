"""Contract tests: what every backbone and every stage must keep, run over all that are registered."""
