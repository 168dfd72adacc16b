"""The command line: one module a command family, printing apart from fetching."""
