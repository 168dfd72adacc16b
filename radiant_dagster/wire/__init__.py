"""What travels over the API, as pydantic models: shared by Mission Control and its client."""
