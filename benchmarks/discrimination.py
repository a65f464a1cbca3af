"""How well embeddings tell classes apart: compactness within, separation between, silhouette, and a plane to look at.

With u_i = e_i / ||e_i||, c_k the direction of the mean of u_i over class k, and mu the means of e itself:

    intra cosine   mean over k of mean over i in k of u_i . c_k       higher is more compact
    inter cosine   mean over pairs k < l of c_k . c_l                 lower is better separated
    angles         the same of arccos, in degrees; nearest: the smallest between two classes' centres
    scatter ratio  sum_i ||e_i - mu_yi||^2 / sum_i ||mu_yi - mu||^2   lower is better; knows lengths
    silhouette     mean of (b - a) / max(a, b), a the mean distance to the own class's others, b to the nearest other
                   class (Rousseeuw 1987); of cosine distance 1 - u_i . u_j, and of Euclidean distance

Directions do not know lengths, so an L2 layer leaves cosines, angles and the cosine silhouette of the same rates as
they are: what it changes there, it changed in training. Silent samples have no direction; they are left out and
counted.

Shape suffixes: N samples, D elements, K classes, P components.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeport.benchmarks.blocks import Discrimination
from spikeport.errors import UsageError

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Literal["cosine", "euclidean"]
_ROWS = 512


@dataclass(frozen=True)
class Projection:
    """Principal components.

    Attributes:
        points_NP: the centred embeddings on the first P components; each component's largest weight is positive.
        explained_P: the share of the variance on each.
    """

    points_NP: Array
    explained_P: Array


def discrimination(embeddings_ND: ArrayLike, labels_N: ArrayLike) -> Discrimination:
    """Return all measures of `embeddings_ND`.

    Raises:
        UsageError: they are not [N, D] of finite numbers with a label each, or fewer than two classes speak.
    """
    every_ND, labels = _checked(embeddings_ND, labels_N)
    norms_N = np.linalg.norm(every_ND, axis=1)
    heard_N = norms_N > 0
    e_ND, labels = every_ND[heard_N], labels[heard_N]
    unit_ND = e_ND / norms_N[heard_N, None]
    classes = np.unique(labels)
    if len(classes) < 2:
        reason = f"{len(e_ND)} of {len(every_ND)} are not silent, of {len(classes)} class"
        raise UsageError("embeddings", f"two classes are needed: {reason}", "Give more samples, or train longer")
    centres_KD = _directions(unit_ND, labels, classes)
    own = [_cosines(unit_ND[labels == k], c_D) for k, c_D in zip(classes, centres_KD, strict=True)]
    between = np.array([_cosines(a_D[None], b_D)[0] for a_D, b_D in combinations(centres_KD, 2)])
    return Discrimination(
        samples=len(e_ND),
        silent=int((~heard_N).sum()),
        classes=len(classes),
        intra_cosine=float(np.mean([cosines.mean() for cosines in own])),
        inter_cosine=float(between.mean()),
        intra_angle_degrees=float(np.mean([_degrees(cosines).mean() for cosines in own])),
        inter_angle_degrees=float(_degrees(between).mean()),
        nearest_angle_degrees=float(_degrees(between).min()),
        scatter_ratio=_scatter_ratio(e_ND, labels, classes),
        silhouette_cosine=silhouette(unit_ND, labels, "cosine"),
        silhouette_euclidean=silhouette(e_ND, labels, "euclidean"),
        norm_mean=float(norms_N.mean()),
        norm_variation=float(norms_N.std() / norms_N.mean()),
    )


def silhouette(embeddings_ND: ArrayLike, labels_N: ArrayLike, metric: Metric = "cosine") -> float:
    """Return the mean silhouette; a sample that is alone in its class counts as 0.

    Raises:
        UsageError: see `discrimination`; or, of cosine distance, a sample is silent.
    """
    e_ND, labels = _checked(embeddings_ND, labels_N)
    classes, own_N = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError("embeddings", "they are of one class", "A silhouette needs two")
    if metric == "cosine":
        norms_N = np.linalg.norm(e_ND, axis=1)
        if not norms_N.all():
            raise UsageError("embeddings", "a silent one has no direction", "Leave it out")
        e_ND = e_ND / norms_N[:, None]
    member_NK = np.eye(len(classes))[own_N]
    size_K = member_NK.sum(0)
    widths = []
    for start in range(0, len(e_ND), _ROWS):
        rows = slice(start, start + _ROWS)
        widths.append(_widths(_distances(e_ND[rows], e_ND, metric, start), member_NK, size_K, own_N[rows]))
    return float(np.concatenate(widths).mean())


def principal(embeddings_ND: ArrayLike, components: int = 2) -> Projection:
    """Return the principal components of `embeddings_ND`.

    Raises:
        UsageError: there are fewer dimensions, or all embeddings are the same.
    """
    e_ND, _ = _checked(embeddings_ND, np.zeros(len(np.asarray(embeddings_ND)), np.int64))
    centred_ND = e_ND - e_ND.mean(0)
    if components > min(centred_ND.shape):
        raise UsageError(f"{components} components", f"the embeddings are {list(e_ND.shape)}", "Ask for fewer")
    _, stretch, axes = np.linalg.svd(centred_ND, full_matrices=False)
    variance = stretch**2
    if not variance.sum() > 0:
        raise UsageError("embeddings", "all are the same, so that no direction is theirs", "Train longer")
    axes = axes[:components]
    largest = np.abs(axes).argmax(1)
    axes = axes * np.sign(axes[np.arange(components), largest])[:, None]
    return Projection(centred_ND @ axes.T, variance[:components] / variance.sum())


def _checked(embeddings_ND: ArrayLike, labels_N: ArrayLike) -> tuple[Array, Labels]:
    e_ND, labels = np.asarray(embeddings_ND, np.float64), np.asarray(labels_N, np.int64)
    if e_ND.ndim != 2 or labels.shape != e_ND.shape[:1] or not e_ND.size:
        said = f"embeddings of shape {list(e_ND.shape)} with labels of shape {list(labels.shape)}"
        raise UsageError(said, "they are not [N, D] with N labels", "Flatten each embedding")
    if not np.isfinite(e_ND).all():
        raise UsageError("embeddings", "they hold NaN or infinity", "Look at the training")
    return e_ND, labels


def _directions(unit_ND: Array, labels: Labels, classes: Labels) -> Array:
    means_KD = np.stack([unit_ND[labels == k].mean(0) for k in classes])
    length_K = np.linalg.norm(means_KD, axis=1)
    if (opposed := classes[length_K < 1e-12]).size:
        reason = f"those of class {opposed[0]} cancel, so that it has no centre"
        raise UsageError("embeddings", reason, "Give more samples")
    return np.asarray(means_KD / length_K[:, None])


def _cosines(unit_ND: Array, direction_D: Array) -> Array:
    return np.asarray(np.clip(unit_ND @ direction_D, -1, 1))


def _degrees(cosines: Array) -> Array:
    return np.asarray(np.degrees(np.arccos(cosines)))


def _scatter_ratio(e_ND: Array, labels: Labels, classes: Labels) -> float:
    mean_D, within, between = e_ND.mean(0), 0.0, 0.0
    for k in classes:
        own_ND = e_ND[labels == k]
        within += float(((own_ND - own_ND.mean(0)) ** 2).sum())
        between += len(own_ND) * float(((own_ND.mean(0) - mean_D) ** 2).sum())
    if between == 0:
        raise UsageError("embeddings", "all classes have the same mean", "Train longer")
    return within / between


def _distances(some_RD: Array, e_ND: Array, metric: Metric, start: int) -> Array:
    products_RN = some_RD @ e_ND.T
    if metric == "cosine":
        distance_RN = 1 - products_RN
    else:
        squares_RN = (some_RD**2).sum(1)[:, None] + (e_ND**2).sum(1) - 2 * products_RN
        distance_RN = np.sqrt(np.clip(squares_RN, 0, None))
    # What rounding makes of the distance to itself would count as one to another.
    distance_RN[np.arange(len(some_RD)), start + np.arange(len(some_RD))] = 0
    return np.asarray(np.clip(distance_RN, 0, None))


def _widths(distance_RN: Array, member_NK: Array, size_K: Array, own_R: Labels) -> Array:
    rows = np.arange(len(own_R))
    summed_RK = distance_RN @ member_NK
    others_R = size_K[own_R] - 1
    a_R = summed_RK[rows, own_R] / np.maximum(others_R, 1)
    mean_RK = summed_RK / size_K
    mean_RK[rows, own_R] = np.inf
    b_R = mean_RK.min(1)
    larger_R = np.maximum(a_R, b_R)
    return np.where((others_R > 0) & (larger_R > 0), (b_R - a_R) / np.where(larger_R > 0, larger_R, 1), 0.0)
