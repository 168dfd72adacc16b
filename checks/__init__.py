"""What `make check` asks beyond the usual tools: rules of this project, secrets in its files."""
