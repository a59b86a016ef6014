"""Load and prepare data sets of images and vectors."""

from lorae.config.data_settings import DataSettings
from lorae.data.dataset import Dataset, Split, even_rows, subsample_evenly
from lorae.data.registry import NAMED_SOURCES, load_data, source_names
from lorae.data.shapes import render_shapes, sample_factors

__all__ = [
    "NAMED_SOURCES",
    "DataSettings",
    "Dataset",
    "Split",
    "even_rows",
    "load_data",
    "render_shapes",
    "sample_factors",
    "source_names",
    "subsample_evenly",
]
