"""The base config as it is: lstm on magnitude. Every other config builds on it."""

from sep.config import get_config

__all__ = ["get_config"]
