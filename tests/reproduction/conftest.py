import pytest

from tests.reproduction.tiny import make_tiny


@pytest.fixture
def tiny(monkeypatch):
    """Studies take seconds, as `make_tiny` says."""
    make_tiny(monkeypatch)
