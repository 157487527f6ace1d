"""Where the tests find real DICOM files: the collection beside the checkout, or pydicom's own package."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ISOCENTER_TEST_MATERIAL", REPOSITORY.parent / "shared"))
REQUIREMENTS = REPOSITORY / "docs" / "requirements" / "data"


def collection_files() -> list[Path]:
    """Every file of the collection beside the checkout; empty where there is none."""
    root = SHARED / "data"
    return sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".md") if root.is_dir() else []


def packaged_files() -> list[Path]:
    """The DICOM files inside pydicom's package, which every development environment has."""
    import pydicom

    root = Path(pydicom.__file__).parent / "data" / "test_files"
    return sorted(p for p in root.rglob("*.dcm") if p.is_file())


def data_files() -> list[Path]:
    """All the real files there are here."""
    return collection_files() + packaged_files()
