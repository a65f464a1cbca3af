"""Datasets by name. A new one is one file: a class with `Dataset`'s members, and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikeport.registry import Registry

if TYPE_CHECKING:
    from spikeport.train.datasets.base import DatasetKind

DATASETS: Registry[DatasetKind] = Registry("dataset")
DATASETS.register("av-digits", "spikeport.train.datasets.av_digits:KIND")
DATASETS.register("mnist", "spikeport.train.datasets.mnist:KIND")
DATASETS.register("nmnist", "spikeport.train.datasets.nmnist:KIND")
DATASETS.register("nmnist-digits", "spikeport.train.datasets.nmnist_digits:KIND")
DATASETS.register("crema-d", "spikeport.train.datasets.av_folders.crema_d:KIND")
DATASETS.register("urbansound8k-av", "spikeport.train.datasets.av_folders.urbansound8k:KIND")
DATASETS.register("cifar10-av", "spikeport.train.datasets.av_folders.cifar10_av:KIND")
DATASETS.register("mnistdvs-ntidigits", "spikeport.train.datasets.av_folders.mnistdvs_ntidigits:KIND")
DATASETS.register("cifar10", "spikeport.train.datasets.cifar10:KIND")
DATASETS.register("cifar10-esc10", "spikeport.train.datasets.cifar10_esc10:KIND")
