"""The Python interface; its functions import torch when they are called, so that `lorae --help` is quick."""

from lorae.api.coding import decode, encode
from lorae.api.export import export_run
from lorae.api.generation import interpolate, sample
from lorae.api.inspection import compare, evaluate, fid, reconstruct, spectrum, write_report
from lorae.api.loading import dataset_of, load, load_data, origin_of_argument
from lorae.api.training import plan, resume, train
from lorae.api.truncation import truncate
from lorae.config.methods import list_methods

__all__ = [
    "compare",
    "dataset_of",
    "decode",
    "encode",
    "evaluate",
    "export_run",
    "fid",
    "interpolate",
    "list_methods",
    "load",
    "load_data",
    "origin_of_argument",
    "plan",
    "reconstruct",
    "resume",
    "sample",
    "spectrum",
    "train",
    "truncate",
    "write_report",
]
