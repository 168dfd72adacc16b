"""Mission Control: the web page and the API, in a process of their own beside Dagster."""
