"""A remote share as a local folder: see README.md for users, docs/architecture.md for readers of the code."""

__version__ = "0.1.0"
