"""What a check of `radiant doctor` raises where it is not simply well."""


class Failed(Exception):
    """A check failed, for a reason that is no error of ours."""


class Skipped(Exception):
    """A check does not apply here."""


class Noted(Exception):
    """A check found something that a person should know."""
