"""The Lightning loop: AdamW with warm-up and cosine decay, best validation weights, exact resumption.

Everything random is a function of (recipe.seed, epoch), and a checkpoint is written whole after every
epoch, so that a killed and resumed training ends with the weights of an uninterrupted one, bit for bit.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from spikeport.errors import SpikeportError, UnavailableError, UsageError
from spikeport.files import new_file
from spikeport.models.fake_quantised import FakeQuantised
from spikeport.models.network import LOGITS, SpikingNetwork
from spikeport.models.twin import Twin
from spikeport.train.datasets.base import Dataset, Part, Split
from spikeport.train.datasets.reading import skipped_lines
from spikeport.train.losses import added_loss
from spikeport.train.recipe import Recipe
from spikeport.train.samples import network_inputs
from spikeport.train.seeds import derived

_VAL_BATCH = 200
_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"float32": "32-true", "bf16": "bf16-mixed"}
Batch = tuple[dict[str, Tensor], Tensor]


class Trainee(pl.LightningModule):
    """A network under training, with the best weights so far and the history of its epochs."""

    def __init__(
        self, network: SpikingNetwork | Twin, recipe: Recipe, dataset: Dataset, say: Callable[[str], None] | None = None
    ) -> None:
        """Open the training and the validation part; `say` is told what they leave out."""
        super().__init__()
        self.network = network
        self.quantised = _fake_quantised(network, recipe)
        self.recipe = recipe
        self.dataset = dataset
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"epoch": -1, "score": [-1.0, 0.0], "weights": {}}
        self.steps = len(self._opened("train", say)) // recipe.training.batch_size
        if self.steps == 0:
            subject = f"key 'training.batch_size' = {recipe.training.batch_size}"
            raise UsageError(subject, "the training part is smaller", "Lower it")
        self.val_split = self._opened("val", say)
        self._losses: list[Tensor] = []
        self._val: list[tuple[int, float, float]] = []
        self._started = time.monotonic()

    def _opened(self, part: Part, say: Callable[[str], None] | None) -> Split:
        split = self.dataset.split(part)
        if say is not None:
            for line in skipped_lines(part, split):
                say(line)
        return split

    def train_dataloader(self) -> _TrainBatches:
        """Return the batches of the training part; each epoch they are drawn anew."""
        return _TrainBatches(self)

    def val_dataloader(self) -> _ValBatches:
        """Return the batches of the validation part, the same each epoch."""
        return _ValBatches(self)

    def on_train_epoch_start(self) -> None:
        """Seed what a layer may draw (dropout), by epoch."""
        torch.manual_seed(derived(self.recipe.seed, "layers", self.current_epoch))
        if self.quantised is not None:
            self.quantised.refit()
        self._losses = []
        self._started = time.monotonic()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of one batch."""
        inputs, labels_B = batch
        part = self.recipe.training
        tensors = self._tensors(inputs)
        loss = F.cross_entropy(tensors[LOGITS], labels_B, label_smoothing=part.label_smoothing)
        loss = loss + added_loss(part.losses, tensors, labels_B)
        self._losses.append(loss.detach())
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(labels_B))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Keep loss and hits of one batch, in the step-by-step run that will be exported."""
        inputs, labels_B = batch
        logits_BK = self.quantised(inputs) if self.quantised is not None else self.network(inputs)
        hits = (logits_BK.argmax(1) == labels_B).float().mean()
        self._val.append((len(labels_B), float(F.cross_entropy(logits_BK, labels_B)), float(hits)))

    def _tensors(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.quantised is not None:
            return {LOGITS: self.quantised(inputs, folded=True)}
        if isinstance(self.network, SpikingNetwork):
            return self.network.tensors(inputs, folded=True)
        return self.network.tensors(inputs)

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self._val = []

    def on_validation_epoch_end(self) -> None:
        """Note the epoch, keep its weights if it is the best so far, and stop where none came for long."""
        total = sum(count for count, _, _ in self._val)
        loss = sum(count * value for count, value, _ in self._val) / total
        accuracy = sum(count * value for count, _, value in self._val) / total
        train_loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(train_loss + loss):
            subject = f"training, epoch {self.current_epoch}"
            raise SpikeportError(subject, "the loss is no longer finite", "Lower training.lr and train again")
        self.history.append(
            {
                "epoch": self.current_epoch,
                "train_loss": train_loss,
                "val_loss": loss,
                "val_accuracy": accuracy,
                "seconds": round(time.monotonic() - self._started, 3),
            }
        )
        self.log("val_accuracy", accuracy, prog_bar=True, logger=False)
        if [accuracy, -loss] >= self.best["score"]:
            state = (self.quantised or self.network).state_dict()
            weights = {name: value.detach().cpu().clone() for name, value in state.items()}
            self.best = {"epoch": self.current_epoch, "score": [accuracy, -loss], "weights": weights}
        if self._stale():
            self.trainer.should_stop = True

    def on_fit_start(self) -> None:
        """Train no further where the training that is resumed had stopped early."""
        if self._stale():
            self.trainer.should_stop = True

    def _stale(self) -> bool:
        """Whether the best validation accuracy is at least `patience` epochs old."""
        patience = self.recipe.training.patience
        accuracies = [row["val_accuracy"] for row in self.history]
        if not patience or not accuracies:
            return False
        return len(accuracies) - 1 - accuracies.index(max(accuracies)) >= patience

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its schedule by step."""
        part = self.recipe.training
        optimizer = torch.optim.AdamW(self.parameters(), lr=part.lr, weight_decay=part.weight_decay)
        total = part.epochs * math.ceil(self.steps / part.accumulate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, total, part.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what this class keeps between epochs."""
        checkpoint["spikeport"] = {"history": self.history, "best": self.best}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.history = checkpoint["spikeport"]["history"]
        self.best = checkpoint["spikeport"]["best"]


def _fake_quantised(network: SpikingNetwork | Twin, recipe: Recipe) -> FakeQuantised | None:
    part = recipe.quantisation
    if part is None:
        return None
    assert isinstance(network, SpikingNetwork)
    return FakeQuantised(network, part.weight_bits, part.layers)


def rate_at(step: int, total: int, warmup: float) -> float:
    """Return the share of the peak learning rate at `step`: linear up to `warmup * total`, then half a cosine."""
    rising = warmup * total
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1.0, total - rising))))


def batches(recipe: Recipe, network: SpikingNetwork | Twin, split: Split, size: int, seed: int) -> Iterator[Batch]:
    """Yield (inputs as `network` takes them, labels_B) over `split` in order, the last batch smaller."""
    for index, start in enumerate(range(0, len(split), size)):
        some = split.take(slice(start, start + size))
        yield network_inputs(recipe, network, some, derived(seed, "batch", index)), torch.from_numpy(some.labels)


class _TrainBatches:
    """The training part of the epoch that `trainee` is in; the last, smaller batch is dropped."""

    def __init__(self, trainee: Trainee) -> None:
        self._trainee = trainee

    def __len__(self) -> int:
        return self._trainee.steps

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning asks for the iterator before it knows the epoch that it resumes at,
        # and for the first batch after.
        trainee = self._trainee
        size = trainee.recipe.training.batch_size
        split = trainee.dataset.split("train", trainee.current_epoch).take(slice(0, trainee.steps * size))
        seed = derived(trainee.recipe.seed, "encode", trainee.current_epoch)
        yield from batches(trainee.recipe, trainee.network, split, size, seed)


class _ValBatches:
    """The validation part."""

    def __init__(self, trainee: Trainee) -> None:
        self._trainee = trainee
        self._split = trainee.val_split

    def __len__(self) -> int:
        return -(-len(self._split) // _VAL_BATCH)

    def __iter__(self) -> Iterator[Batch]:
        recipe = self._trainee.recipe
        return batches(recipe, self._trainee.network, self._split, _VAL_BATCH, recipe.data.split_seed)


class _Keeper(pl.Callback):
    """After every epoch: the checkpoint, whole or not at all, and the metrics, one JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write both; the history comes with the checkpoint, so that a resumed run repeats no line."""
        assert isinstance(pl_module, Trainee)
        with new_file(self._folder / "metrics.jsonl") as aside:
            aside.write_text("".join(json.dumps(row) + "\n" for row in pl_module.history))
        with new_file(checkpoint_path(self._folder)) as aside:
            trainer.save_checkpoint(aside)


def checkpoint_path(folder: Path) -> Path:
    """Return where a run's resumable checkpoint lies."""
    return folder / "checkpoints" / "last.ckpt"


def fit(trainee: Trainee, folder: Path, device: str) -> None:
    """Train until the recipe's last epoch, going on from the checkpoint in `folder` where there is one.

    Args:
        trainee: what to train; ends with the weights of its last epoch, the best ones in `trainee.best`.
        folder: where checkpoints and metrics go.
        device: "cpu" or "cuda", as `resolve_device` gives it.
    """
    last = checkpoint_path(folder)
    with _quiet(), torch.random.fork_rng():
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            max_epochs=trainee.recipe.training.epochs,
            gradient_clip_val=trainee.recipe.training.clip_norm,
            accumulate_grad_batches=trainee.recipe.training.accumulate,
            precision=_PRECISIONS[trainee.recipe.training.precision],
            deterministic=device == "cuda",
            callbacks=[_Keeper(folder)],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
        )
        before = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(trainee, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit as leaving:
            # Lightning turns Ctrl-C into sys.exit and leaves SIGINT ignored.
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt from leaving


def resolve_device(device: str) -> str:
    """Return "cpu" or "cuda" for `--device auto|cpu|cuda`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("device 'cuda'", "torch sees no GPU here", "Use --device auto")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banner and its advice on data loaders off the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\..*")
            # Lightning 2.6 asks torch's pytree for a class that newer torch deprecates.
            warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
