"""Studies: what they score, that they resume, and that their intervals are what they say."""

from __future__ import annotations

import json
import shutil

import nmnist_files
import numpy as np
import pytest
import spoken_files
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spikeport.benchmarks.studies import running
from spikeport.benchmarks.studies.comparing import against, interval
from spikeport.benchmarks.studies.plan import load_study, recipe_of, study_names
from spikeport.benchmarks.studies.stored import CLEAN, Outcome, Scored, read_outcomes
from spikeport.benchmarks.studies.table import render
from spikeport.cli import main
from spikeport.errors import SpikeportError, UsageError
from spikeport.train.datasets import DATASETS
from spikeport.train.evaluate import evaluate
from spikeport.train.noise import corrupted
from spikeport.train.recipe import load_recipe
from spikeport.train.run import load_run, train_run
from spikeport.train.samples import open_dataset

SMALL = [
    "model.params={channels: 4, heads: 2, mlp_ratio: 1, visual: [{channels: 4, pool: true}, {channels: 4, pool: true}],"
    " audio: [{channels: 4}, {channels: 4, kernel: 4, padding: 0}]}",
    "training.epochs=1",
    "training.batch_size=16",
    "training.losses=[]",
    "data.params.steps=4",
    "timesteps=4",
]


def study_file(folder, **changes):
    content = {
        "name": "tiny",
        "recipe": "s-cmrl",
        "set": SMALL,
        "variants": {
            "add": ["model.params.method=none"],
            "audio": ["model.params.method=none", "model.params.modality=audio"],
        },
        "seeds": [0],
        "reference": "add",
        "noise": {"inputs": ["visual", "joint"], "snr_db": [0, 10], "seed": 3},
        "cited": [{"what": "theirs", "accuracy_percent": 98.5, "source": "A. Author, 2025"}],
    } | changes
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    nmnist_files.write_folder(root / "events", per_digit=8)
    spoken_files.write_spoken(root / "spoken", takes=3)
    return ["--set", f"data.params.nmnist={root / 'events'}", "--set", f"data.params.recordings={root / 'spoken'}"]


@pytest.fixture(scope="module")
def done(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    assert main(["study", str(study_file(folder)), "--out", str(folder / "out"), *settings]) == 0
    return folder


def copy(done, tmp_path):
    """Return a study's folder that a test may change."""
    return shutil.copytree(done, tmp_path / "copy")


def test_it_scores_what_evaluate_answers_on_the_same_noise(done):
    outcomes = read_outcomes(done / "out")
    assert set(outcomes) == {("add", 0), ("audio", 0)}
    for (variant, seed), outcome in outcomes.items():
        run = load_run(done / "out" / "runs" / f"{variant}-{seed}")
        test = open_dataset(run.recipe).split("test")
        for where, level, snr_db in [
            (CLEAN, None, {}),
            ("visual", 0.0, {"visual": 0.0}),
            ("joint", 10.0, {"visual": 10.0, "audio": 10.0}),
        ]:
            noisy = corrupted(test, snr_db, 3, DATASETS.get("nmnist-digits").events(None))
            hits_N = evaluate(run, noisy).argmax(1).numpy() == test.labels
            found = outcome.at(where, level)
            assert found.right().tolist() == hits_N.tolist()
            assert found.accuracy == hits_N.mean()
            assert found.n == len(test)
        assert len(outcome.scores) == 5
        assert outcome.train_seconds > 0
    audio = outcomes["audio", 0]
    assert audio.at("visual", 0.0).hits == audio.at(CLEAN, None).hits


def test_its_files_tell_what_was_measured_and_what_is_cited(done):
    text = (done / "out" / "table.md").read_text()
    assert "best validation epoch; the test part chose nothing" in text
    assert "paired percentile bootstrap over the test samples" in text
    assert "## Noise at test time: visual" in text
    assert "## Noise at test time: joint" in text
    ours, cited = text.split("## Cited, not measured here")
    assert "| theirs | 98.5 | A. Author, 2025 |" in cited
    assert "theirs" not in ours
    page = (done / "out" / "curves.html").read_text()
    assert "Noise on joint" in page
    assert "Plotly.react" in page
    assert json.loads((done / "out" / "study.json").read_text())["study"]["reference"] == "add"


def test_a_second_call_trains_and_scores_nothing(done, settings, tmp_path, monkeypatch, capsys):
    folder = copy(done, tmp_path)
    monkeypatch.setattr(running, "run_one", lambda task: pytest.fail(f"{task.name} runs again"))
    assert main(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), *settings]) == 0
    assert "2 of 2 runs are trained and scored already" in capsys.readouterr().err


def test_scores_that_were_lost_are_made_again_from_the_runs(done, settings, tmp_path):
    folder = copy(done, tmp_path)
    before = read_outcomes(folder / "out")
    (folder / "out" / "study.json").unlink()
    weights = [p.stat().st_mtime_ns for p in sorted(folder.rglob("weights.safetensors"))]
    assert main(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), "--only", "audio", *settings]) == 0
    after = read_outcomes(folder / "out")
    assert set(after) == {("audio", 0)}
    assert [s.hits for s in after["audio", 0].scores] == [s.hits for s in before["audio", 0].scores]
    assert [p.stat().st_mtime_ns for p in sorted(folder.rglob("weights.safetensors"))] == weights


def test_another_recipe_in_the_same_folder_is_refused(done, settings, tmp_path, capsys):
    folder = copy(done, tmp_path)
    argv = ["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), *settings, "--set", "training.lr=0.1"]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "trained by another recipe: 'training' differs" in said
    assert "name another --out" in said
    shutil.rmtree(folder / "out" / "runs")
    assert main(argv) == 2
    assert "has scores of 'add' with seed 0 by another recipe" in capsys.readouterr().err


def test_a_run_that_fails_is_told_and_the_others_go_on(done, settings, tmp_path, monkeypatch, capsys):
    folder = copy(done, tmp_path)

    def fails(recipe, out, *args, **named):
        if "audio" in out.name:
            raise SpikeportError("training, epoch 0", "the loss is no longer finite", "Lower training.lr")
        return train_run(recipe, out, *args, **named)

    monkeypatch.setattr(running, "train_run", fails)
    (folder / "out" / "study.json").unlink()
    assert main(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), *settings]) == 1
    assert "failed: audio, seed 0: training, epoch 0: the loss" in capsys.readouterr().err
    text = (folder / "out" / "table.md").read_text()
    assert "| audio | - | - | - | - |" in text
    assert "- audio, seed 0: training, epoch 0: the loss is no longer finite" in text
    monkeypatch.undo()
    assert main(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), *settings]) == 0
    assert "## Not trained" not in (folder / "out" / "table.md").read_text()


def test_data_that_are_not_there_stop_it_before_the_first_run(done, settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "run_one", lambda task: pytest.fail(f"{task.name} runs"))
    gone = ["--set", f"data.params.nmnist={tmp_path / 'gone'}"]
    assert main(["study", str(done / "tiny.yaml"), "--out", str(tmp_path / "out"), *settings, *gone]) == 1
    said = capsys.readouterr().err
    assert said.count(f"{tmp_path / 'gone' / 'Train'}: there is no such folder. Name the folder") == 1
    assert not (tmp_path / "out").exists()


def test_each_data_part_is_opened_once(settings, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(running, "open_dataset", lambda recipe: opened.append(recipe.data.params["steps"]))
    monkeypatch.setattr(running, "run_one", lambda task: outcome(task.variant, task.seed, [1], status="failed"))
    fewer = ["data.params.steps=2", "timesteps=2"]
    path = study_file(tmp_path, variants={"add": [], "audio": ["model.params.modality=audio"], "fewer": fewer})
    argv = ["study", str(path), "--out", str(tmp_path / "out"), "--seeds", "0,1", *settings]
    assert main(argv) == 1
    assert sorted(opened) == [2, 4]


def test_failures_of_another_recipe_are_run_again(done, settings, tmp_path, monkeypatch):
    folder = copy(done, tmp_path)
    stored = json.loads((folder / "out" / "study.json").read_text())
    for one in stored["outcomes"]:
        one |= {"status": "failed", "reason": "no data", "recipe_sha256": "0" * 64, "scores": []}
    (folder / "out" / "study.json").write_text(json.dumps(stored))
    argv = ["study", str(folder / "tiny.yaml"), "--out", str(folder / "out"), *settings]
    assert main([*argv, "--only", "add"]) == 0
    assert "no data" not in (folder / "out" / "table.md").read_text()
    assert set(read_outcomes(folder / "out")) == {("add", 0)}
    assert main(argv) == 0
    assert {o.status for o in read_outcomes(folder / "out").values()} == {"ok"}


@pytest.mark.slow
def test_processes_score_what_one_does(done, settings, tmp_path):
    out = tmp_path / "out"
    assert main(["study", str(done / "tiny.yaml"), "--out", str(out), "--jobs", "2", "--seeds", "0,1", *settings]) == 0
    found, known = read_outcomes(out), read_outcomes(done / "out")
    assert set(found) == {(v, s) for v in ("add", "audio") for s in (0, 1)}
    assert all(len(outcome.scores) == 5 for outcome in found.values())
    for key, outcome in known.items():
        near = [abs(a.accuracy - b.accuracy) for a, b in zip(outcome.scores, found[key].scores, strict=True)]
        assert max(near) <= 0.2, "one thread sums in another order, and that is all"


def test_the_folded_run_gives_the_same_answers(done):
    run = load_run(done / "out" / "runs" / "add-0")
    test = open_dataset(run.recipe).split("test")
    stepwise, folded = evaluate(run, test), evaluate(run, test, folded=True)
    assert stepwise.std() > 0
    np.testing.assert_allclose(folded, stepwise, atol=1e-5)
    assert (folded.argmax(1) == stepwise.argmax(1)).all()


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_hits_come_back(hits):
    scored = Scored.of(CLEAN, None, np.array(hits), 0.0)
    assert scored.right().tolist() == hits
    assert scored.n == len(hits)


def outcome(variant, seed, *hits, samples="s", **changes):
    scores = tuple(Scored.of("x", float(level), np.array(h, bool), 0.1) for level, h in enumerate(hits))
    clean = Scored.of(CLEAN, None, np.array(hits[0], bool), 0.1)
    fields = {"recipe_sha256": "", "train_seconds": 2.0, "samples_sha256": samples, "scores": (clean, *scores)}
    return Outcome(variant=variant, seed=seed, **(fields | changes))


def test_a_difference_by_hand():
    mine = {0: outcome("a", 0, [1, 1, 0, 1]), 1: outcome("a", 1, [1, 1, 1, 1]), 2: outcome("a", 2, [0, 0, 0, 0])}
    theirs = {0: outcome("b", 0, [0, 1, 0, 1]), 1: outcome("b", 1, [0, 1, 1, 0])}
    found = against(mine, theirs, [(CLEAN, None)])
    # Per sample, summed over the two common seeds: 2, 0, 0, 1.
    assert found.difference == pytest.approx(3 / 8)
    assert found.seeds == 2
    assert 0 <= found.ci95[0] < 3 / 8 < found.ci95[1] <= 1


def test_conditions_are_averaged():
    mine, theirs = {0: outcome("a", 0, [1, 1], [1, 1])}, {0: outcome("b", 0, [0, 0], [1, 1])}
    found = against(mine, theirs, [("x", 0.0), ("x", 1.0)])
    assert found.difference == 0.5
    assert found.ci95 == (0.5, 0.5)


def test_what_cannot_be_paired_has_no_difference():
    mine = {0: outcome("a", 0, [1, 0])}
    assert against(mine, {1: outcome("b", 1, [1, 0])}, [(CLEAN, None)]) is None
    assert against(mine, {0: outcome("b", 0, [1, 0], samples="other")}, [(CLEAN, None)]) is None
    assert against(mine, {0: outcome("b", 0, [1, 0])}, [("x", 7.0)]) is None


def test_the_interval_is_the_bootstrap_over_samples():
    draw = np.random.default_rng(0)
    values_N = draw.integers(-2, 3, 300)
    plain = draw.choice(values_N, (20_000, 300)).mean(1)
    np.testing.assert_allclose(interval(values_N), np.percentile(plain, [2.5, 97.5]), atol=0.012)
    assert interval(np.full(5, 3)) == (3.0, 3.0)


def test_the_table_by_hand(settings, tmp_path):
    study = load_study(study_file(tmp_path), [text for text in settings if "=" in text])
    found = [outcome("add", 0, [1, 1, 1, 0]), outcome("add", 1, [1, 0, 0, 0]), outcome("audio", 1, [1, 0, 0, 0])]
    text = render(study, found)
    assert "| add | 75.0 25.0 | 50.0 ± 35.4 | reference | 2.0 |" in text
    assert "| audio | - 25.0 | 25.0 (one seed) | +0.0 [+0.0, +0.0] | 2.0 |" in text


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"reference": "ad"}, "Did you mean 'add'"),
        ({"seeds": [1, 1]}, "stands there twice"),
        ({"seeds": []}, "at least 1 item"),
        ({"variants": {"add": [], "b": []}}, "they are the same training"),
        ({"variants": {"add": ["seed=3"]}}, "Use seeds"),
        ({"variants": {"a/b": []}, "reference": "a/b"}, "match pattern"),
        ({"variants": {"add": ["model.params.chanels=4"]}}, "Did you mean 'channels'"),
        ({"noise": {"inputs": ["visul"]}}, "Did you mean 'visual'"),
        ({"noise": {"snr_db": [0, 0]}}, "stands there twice"),
        ({"epochs": 3}, "there is no such key"),
        ({"cited": [{"what": "x", "accuracy_percent": 98.0}]}, "cited.0.source"),
    ],
)
def test_studies_that_are_none(tmp_path, changes, match):
    with pytest.raises(UsageError, match=match):
        load_study(study_file(tmp_path, **changes))


def test_what_is_set_for_all_may_not_undo_what_tells_variants_apart(tmp_path):
    with pytest.raises(UsageError, match="the same training"):
        load_study(study_file(tmp_path), ["model.params.modality=audio"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--only", "video"], "the study has no such variant"),
        (["--seeds", "0,0"], "different whole numbers"),
        (["--seeds", "x"], "different whole numbers"),
    ],
)
def test_options_that_do_not_fit(tmp_path, capsys, options, match):
    assert main(["study", str(study_file(tmp_path)), "--out", str(tmp_path / "out"), *options]) == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recipe_may_lie_beside_the_study(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(load_recipe("s-cmrl").model_dump(mode="json")))
    study = load_study(study_file(tmp_path, recipe="mine.yaml"), seeds=[7])
    assert recipe_of(study, "add", 7).seed == 7


def test_an_unknown_study_is_named(capsys):
    assert main(["study", "av-digit", "--out", "x"]) == 2
    assert "Did you mean 'av-digits'" in capsys.readouterr().err
    assert main(["list", "studies"]) == 0
    assert capsys.readouterr().out.split() == study_names()


@pytest.mark.parametrize("name", study_names())
def test_the_studies_that_ship_are_studies(name):
    study = load_study(name)
    assert study.name == name
