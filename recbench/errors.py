"""What can go wrong, by who can mend it: the caller's input, or the run itself."""

__all__ = ["DownloadError", "InputError", "JobError", "LeakageError", "ReleaseError", "SchemaError"]


class InputError(ValueError):
    """The caller's input cannot be used; the message names the input and the next step."""


class SchemaError(InputError):
    """Events or items do not have the canonical columns or types."""


class LeakageError(InputError):
    """A value from after the cut was about to be used before it."""


class ReleaseError(InputError):
    """A release is missing, incomplete or does not match its manifest."""


class DownloadError(RuntimeError):
    """No source of a data set could be reached, or none had the declared checksum."""


class JobError(RuntimeError):
    """A run failed or was killed; the message names its folder."""
