"""What tests read from a page."""

from lorae.reproduction.pages.blocks import ClaimResult, Page, Picture


def verdicts(page: Page) -> list[ClaimResult]:
    """What is said of each claim, in order."""
    return [block for block in page.blocks if isinstance(block, ClaimResult)]


def outcomes(page: Page) -> list[bool | None]:
    """Whether each claim holds, in order."""
    return [block.holds for block in verdicts(page)]


def check_pictures(page: Page, folder) -> None:
    """There are pictures, and all of them are in the folder."""
    pictures = [block for block in page.blocks if isinstance(block, Picture)]
    assert pictures
    assert all((folder / block.path).read_bytes().startswith(b"\x89PNG") for block in pictures)
