"""The whole chain as a user runs it, on a few drawn dishes: results, re-runs, refusals."""

import json
import re
import subprocess
import sys

import chain
import pytest
import toys

from dishvl_lib.core import paths, records, stages

NETS = {"pplcnet", "pplcnet_register2", "pplcnet_classifier"}
REGISTERED_NEW = 5  # photos by which the held-out dish is added to the gallery
PREDICTORS = {"tuned", "hybrid", "gallery", "base", *NETS}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A finished run: (outputs, profile, what the command printed)."""
    folder = tmp_path_factory.mktemp("chain")
    profile = chain.profile(folder / "profile", chain.draw(folder / "drawn"))
    done = chain.dishvl("run", profile, outputs=folder / "outputs")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "outputs", profile, done.stdout


def test_the_table_the_files_and_the_report_are_printed(world):
    outputs, _, printed = world
    for predictor in PREDICTORS:
        assert f"\n{predictor} " in printed
    assert "95% interval" in printed
    assert "note: names from folders, no annotator" in printed
    assert f"report: {outputs / 'toy' / '05_evaluation' / 'report.html'}" in printed


def test_every_artefact_of_the_contract_is_there(world):
    run = world[0] / "toy"
    wanted = {
        "01_annotation": [
            "catalog.parquet",
            "rejected.csv",
            "dishes.jsonl",
            "near_duplicates.csv",
            "answers.jsonl",
            "quarantined.csv",
            "name_review.csv",
        ],
        "02_similar_dishes": [
            "features.npz",
            "similar_dishes.csv",
            "reference_look_alikes.csv",
            "clusters.csv",
            "suspect_labels.csv",
            "name_review.csv",
            "class_scores.npz",
        ],
        "03_dataset": [
            "train.jsonl",
            "validation.jsonl",
            "test.jsonl",
            "test_unseen.jsonl",
            "audit.json",
            "moved.csv",
            "preview.html",
        ],
        "04_training": [
            "trainable.json",
            "metrics.jsonl",
            "calibration.json",
            "best/config.json",
            "best/dishvl.json",
            "best/tokenizer_config.json",
            "best/preprocessor_config.json",
        ],
        "05_evaluation": [
            "predictions.jsonl",
            "metrics.json",
            "calibration.json",
            "off_menu.json",
            "fusion.json",
            "confusions.csv",
            "report.html",
            "profile/common.yaml",
        ],
    }
    for stage, files in wanted.items():
        marker = records.read_json(run / stage / "_SUCCESS.json")
        assert set(files) <= set(marker["outputs"]), stage
        assert marker["parameters"]
        assert marker["versions"]["torch"]
        assert marker["seconds"] >= 0
        assert (run / "notebooks" / f"{stage}.ipynb").exists()


def outputs_of(run, stage):
    """The outputs of a stage's executed notebook."""
    notebook = records.read_json(run / "notebooks" / f"{stage}.ipynb")
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output for cell in code for output in cell["outputs"]]


@pytest.mark.parametrize("stage", paths.STAGES)
def test_every_figure_that_is_saved_is_shown_too(world, stage):
    run = world[0] / "toy"
    shown = {
        output["metadata"][stages.FIGURE_FILE]
        for output in outputs_of(run, stage)
        if stages.FIGURE_FILE in output.get("metadata", {}) and "image/png" in output["data"]
    }
    saved = {file.name for file in (run / stage).glob("*.png")}
    assert saved
    assert saved == shown


@pytest.mark.parametrize("stage", paths.STAGES)
def test_no_output_is_a_table_of_heads_alone_or_a_dead_widget(world, stage):
    for output in outputs_of(world[0] / "toy", stage):
        data = output.get("data", {})
        assert "Empty DataFrame" not in "".join(data.get("text/plain", ""))
        assert "<tbody></tbody>" not in "".join(data.get("text/html", ""))
        assert "application/vnd.jupyter.widget-view+json" not in data


def test_the_fitted_temperature_and_threshold_are_in_best(world):
    stage = world[0] / "toy" / "04_training"
    fitted = records.read_json(stage / "calibration.json")
    stored = records.read_json(stage / "best" / "dishvl.json")
    assert fitted["n"] + fitted["skipped"] > 0
    assert stored["input_fingerprint"]
    assert (stored["temperature"], stored["off_menu_threshold"]) == (
        fitted["temperature"],
        fitted["off_menu_threshold"],
    )
    if "note" in fitted["on_menu"]:
        assert "on_menu" not in stored
    else:
        assert stored["on_menu"].items() <= fitted["on_menu"].items()


def test_counts_add_up(world):
    marker = records.read_json(world[0] / "toy" / "01_annotation" / "_SUCCESS.json")["counts"]
    assert marker["files"] == marker["ok"] + marker["skipped"] + marker["failed"]
    assert (
        len(records.read_table(world[0] / "toy" / "01_annotation" / "rejected.csv"))
        == marker["skipped"]
        == 1
    )


def expected_questions(run):
    """{protocol: number of questions}, from the files of stage 03 and the catalogue."""
    rows = {
        end: records.read_jsonl(run / "03_dataset" / f"test{end}.jsonl") for end in ("", "_unseen")
    }
    n = {
        kind + end: sum(row["kind"] == kind for row in of_file)
        for end, of_file in rows.items()
        for kind in ("naming", "menu", "menu_absent")
    }
    queries = sum(
        row["role"] == "query"
        for row in records.iter_jsonl(run / "03_dataset" / "site_site_b.jsonl")
    )
    held_out = (
        records.read_table(run / "01_annotation" / "catalog.parquet").split == "held_out"
    ).sum()
    added = {"naming_with_new": n["naming"], "menu_with_new": n["menu"]}
    sites = {"site:site_b": queries, "site:site_b:own_menu": queries}
    return {**n, **added, "new_dishes": held_out - REGISTERED_NEW, **sites}


def test_metrics_have_n_interval_and_chance(world):
    metrics = records.read_json(world[0] / "toy" / "05_evaluation" / "metrics.json")
    n = expected_questions(world[0] / "toy")
    assert set(metrics) == PREDICTORS
    assert all(n.values())
    for predictor, protocols in metrics.items():
        names_by_itself = predictor not in ("hybrid", "gallery")
        assert set(protocols) == set(n) - ({"naming_with_new"} if names_by_itself else set())
        for kind, measured in protocols.items():
            assert measured["n"] == n[kind]
            assert measured["ci95"][0] <= measured["accuracy"] <= measured["ci95"][1]
            assert measured["correct"] <= measured["n"]
        assert protocols["naming"]["chance"] == pytest.approx(1 / len(chain.DISHES))
        assert protocols["menu_absent"]["chance"] == 0
        assert protocols["menu"]["chance"] == pytest.approx(1 / chain.MENU_SIZE)
        assert protocols["menu"]["menu_size"] == chain.MENU_SIZE
    assert (
        metrics["pplcnet"]["menu_absent"]["correct"]
        == metrics["base"]["menu_absent"]["correct"]
        == 0
    )


def test_new_dishes_and_the_sites_own_menu_are_judged_by_their_true_names(world):
    run = world[0] / "toy"
    rows = [
        row
        for row in records.iter_jsonl(run / "05_evaluation" / "predictions.jsonl")
        if row["predictor"] == "tuned"
    ]
    new = [row for row in rows if row["protocol"] == "new_dishes"]
    assert {row["truth"] for row in new} == {chain.NEW}
    assert all(chain.NEW in row["menu"] and len(row["menu"]) == chain.MENU_SIZE for row in new)
    truths = dict(
        records.read_table(world[1].parent / "drawn" / "site_b_truth.csv")[
            ["folder", "name"]
        ].values
    )
    on_own_menu = [row for row in rows if row["protocol"] == "site:site_b:own_menu"]
    assert {(row["dish_id"], row["truth"]) for row in on_own_menu} == {
        (f"site_b/{folder}", name) for folder, name in truths.items()
    }
    assert not any(row["framed"] or row["lost"] for row in on_own_menu)
    assert all(row["framed"] for row in rows if row["protocol"] == "site:site_b")


def test_the_report_says_what_was_trained_what_is_calibrated_and_how_to_do_it_again(world):
    stage = world[0] / "toy" / "05_evaluation"
    page = (stage / "report.html").read_text("utf-8")
    worth = records.read_json(stage / "calibration.json")
    assert worth["n"] == expected_questions(world[0] / "toy")["menu"]
    assert worth["ece_before"] >= 0
    assert 0 <= worth["auroc"] <= 1
    for part in (
        "visual and merger",
        "checkpoint-",
        "site:site_b",
        "new_dishes",
        "look-alikes",
        "auroc",
        "costs",
        "best small net against the tuned model",
        "./profile",
    ):
        assert part in page, part
    assert str(world[0]) not in page
    done = chain.dishvl("run", stage / "profile", outputs=world[0])
    assert done.returncode == 0
    assert done.stdout.count("nothing to do") == 5


def test_online_models_answer_a_sample_within_their_budget(world):
    outputs, profile, _ = world
    usage = {"prompt_tokens": 800, "completion_tokens": 5}

    def run(server, *more):
        listed = (
            f'endpoints=[{{name: gpt, base_url: "{server.base_url}", model: m, price_input: '
            f"2.0, price_output: 8.0, concurrency: 2, max_tokens: 32}}]"
        )
        where = (
            "--from",
            "05",
            "--set",
            "run_name=rivals",
            "--set",
            "upstream_run=toy",
            "--set",
            "endpoint_questions=5",
            "--set",
            listed,
        )
        return chain.dishvl("run", profile, *where, *more, outputs=outputs)

    with toys.Server(lambda _: (200, toys.completion(chain.DISHES[0], usage))) as server:
        refused = run(server)
        assert refused.returncode == 1
        assert "the endpoints are likely to cost" in refused.stderr
        assert not server.requests
        done = run(server, "--set", "budget={USD: 1.0}")
        assert done.returncode == 0, done.stderr[-2000:]
        n_requests = len(server.requests)
    metrics = records.read_json(outputs / "rivals" / "05_evaluation" / "metrics.json")
    spent = records.read_json(outputs / "rivals" / "05_evaluation" / "_SUCCESS.json")
    assert metrics["gpt"]["naming"]["n"] == metrics["gpt"]["menu"]["n"] == 5
    assert metrics["tuned"]["naming"]["n"] > 5
    assert spent["cost"] == {"USD": pytest.approx(n_requests * (800 * 2e-6 + 5 * 8e-6), rel=1e-3)}
    same = [
        {**row, "seconds": 0}
        for row in records.iter_jsonl(outputs / "rivals" / "05_evaluation" / "predictions.jsonl")
        if row["predictor"] != "gpt"
    ]
    assert same == [
        {**row, "seconds": 0}
        for row in records.iter_jsonl(outputs / "toy" / "05_evaluation" / "predictions.jsonl")
    ]


def test_a_site_menu_that_cannot_be_used_stops_the_stage_with_file_and_line(world, tmp_path):
    (tmp_path / "menu.csv").write_text("name\n红烧鱼\n" + "菜" * 500 + "\n", "utf-8")
    listed = (
        f"sites=[{{name: site_b, image_root: {world[1].parent}/drawn/site_b, menu_csv: "
        f"{tmp_path}/menu.csv}}]"
    )
    done = chain.dishvl(
        "run",
        world[1],
        "--from",
        "05",
        "--set",
        "run_name=bad_menu",
        "--set",
        "upstream_run=toy",
        "--set",
        listed,
        outputs=world[0],
    )
    assert done.returncode == 1
    assert f"{tmp_path}/menu.csv, line 3" in done.stderr
    assert "500 characters" in done.stderr
    assert "Traceback" not in done.stderr


def test_rows_are_as_qwens_scripts_read_them(world):
    for row in records.iter_jsonl(world[0] / "toy" / "03_dataset" / "train.jsonl"):
        human, gpt = row["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"].startswith("<image>\n")
        assert human["value"].count("<image>") == 1
        assert gpt["value"] in row["menu"] or row["kind"] != "menu"


def test_asked_again_it_does_nothing(world):
    outputs, profile, _ = world
    before = chain.contents(outputs / "toy")
    done = chain.dishvl("run", profile, outputs=outputs)
    assert done.returncode == 0
    assert done.stdout.count("nothing to do") == 5
    assert chain.contents(outputs / "toy") == before


def test_changed_parameters_are_refused_before_anything_runs(world):
    outputs, profile, _ = world
    before = chain.contents(outputs / "toy")
    done = chain.dishvl("run", profile, "--set", "menu_size=3", outputs=outputs)
    assert done.returncode == 1
    assert "menu_size: 10 -> 3" in done.stderr
    assert "--redo 03" in done.stderr
    assert chain.contents(outputs / "toy") == before


def test_a_misspelt_key_is_refused_with_a_suggestion(world):
    done = chain.dishvl(
        "run", world[1], "--set", "menu_sise=3", "--set", "run_name=never", outputs=world[0]
    )
    assert done.returncode == 1
    assert "unknown parameter 'menu_sise'; did you mean menu_size?" in done.stderr
    assert not (world[0] / "never").exists()


def test_plain_papermill_from_the_notebooks_folder_says_it_is_done(world, tmp_path):
    outputs, profile, _ = world
    values = {
        "run_name": "toy",
        "image_root": str(profile.parent / "drawn" / "photos"),
        "sites": [],
        "min_pixels": 3136,
        "max_pixels": 3136,
    }
    (tmp_path / "common.yaml").write_text(json.dumps(values))
    before = chain.contents(outputs / "toy" / "03_dataset")
    command = [
        sys.executable,
        "-m",
        "papermill",
        "03_dataset.ipynb",
        str(tmp_path / "out.ipynb"),
        "-f",
        str(tmp_path / "common.yaml"),
        "-f",
        "../params/demo/03_dataset.yaml",
        "-f",
        str(profile / "03_dataset.yaml"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT / "notebooks",
        env=chain.environment(outputs),
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (
        "finished before with the same parameters and inputs"
        in (tmp_path / "out.ipynb").read_text()
    )
    assert chain.contents(outputs / "toy" / "03_dataset") == before


def test_papermill_with_an_unknown_parameter_fails(world, tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        "03_dataset.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "run_name",
        "toy",
        "-p",
        "menu_sise",
        "3",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=paths.PROJECT_ROOT / "notebooks",
        env=chain.environment(world[0]),
        timeout=200,
    )
    assert done.returncode == 1
    assert "did you mean menu_size?" in done.stderr


def test_a_notebook_before_its_predecessor_says_which(world):
    done = chain.dishvl(
        "run", world[1], "--from", "02", "--set", "run_name=early", outputs=world[0]
    )
    assert done.returncode == 1
    assert "run notebooks/01_annotation.ipynb first" in done.stderr
    assert not (world[0] / "early" / "02_similar_dishes").exists()


def test_status_verify_and_a_new_run_on_upstream(world):
    outputs, profile, _ = world
    assert chain.dishvl("status", "toy", outputs=outputs).stdout.count("finished") == 5
    assert "as they were written" in chain.dishvl("verify", "toy", outputs=outputs).stdout
    done = chain.dishvl(
        "run",
        profile,
        "--from",
        "03",
        "--to",
        "03",
        "--set",
        "run_name=other",
        "--set",
        "upstream_run=toy",
        "--set",
        "menu_size=3",
        outputs=outputs,
    )
    assert done.returncode == 0, done.stderr
    rows = records.read_jsonl(outputs / "other" / "03_dataset" / "train.jsonl")
    assert {len(row["menu"]) for row in rows if row["kind"] == "menu"} == {3}


def test_open_fills_in_the_profile_and_keeps_older_copies(world):
    outputs, profile, _ = world
    paths_printed = [
        chain.dishvl("open", "03", profile, "--no-launch", outputs=outputs).stdout.strip()
        for _ in range(2)
    ]
    assert paths_printed[0] == paths_printed[1]
    cells = json.loads(open(paths_printed[0], encoding="utf-8").read())["cells"]
    filled = next(
        "".join(cell["source"])
        for cell in cells
        if "parameters" in cell["metadata"].get("tags", [])
    )
    assert 'run_name: str = "toy"' in filled
    assert "max_pixels: int = 3136" in filled
    assert len(list((outputs / "toy" / "notebooks").glob("03_dataset_interactive*.ipynb"))) == 2


def test_predict_names_and_chooses(world):
    outputs, profile, _ = world
    photo = next((profile.parent / "drawn" / "photos").glob("番茄炒蛋*/*.jpg"))
    (outputs / "menu.txt").write_text("番茄炒蛋\n红烧鱼\n", "utf-8")
    done = chain.dishvl("predict", photo, "--menu", outputs / "menu.txt", outputs=outputs)
    assert done.returncode == 0
    assert "%" in done.stdout
    assert "番茄炒蛋" in done.stdout


def test_the_gallery_lies_beside_best_and_predict_uses_it_once_a_dish_was_added(world):
    outputs, profile, _ = world
    photos = profile.parent / "drawn" / "photos"
    model = outputs / "toy" / "04_training" / "best"
    listed = chain.dishvl("dish", "list", "--model", model, outputs=outputs).stdout
    assert all(f"{name}\t" in listed for name in chain.DISHES)
    new = sorted(photos.glob(f"{chain.NEW}*/*.jpg"))
    added = chain.dishvl(
        "dish", "add", chain.NEW, *new[:5], "--yes", "--model", model, outputs=outputs
    )
    n_photos = int(re.search(r": (\d+) photos added", added.stdout)[1])
    assert 0 < n_photos <= 5
    menu = outputs / "new_menu.txt"
    menu.write_text("\n".join([*chain.DISHES, chain.NEW]), "utf-8")
    answers = [
        chain.dishvl("predict", new[6], "--menu", menu, *more, "--model", model, outputs=outputs)
        for more in ((), ("--no-gallery",))
    ]
    assert [done.returncode for done in answers] == [0, 0]
    assert answers[0].stdout != answers[1].stdout
    removed = chain.dishvl("dish", "remove", chain.NEW, "--model", model, outputs=outputs)
    assert f"removed with its {n_photos} photos" in removed.stdout
    assert "as they were written" in chain.dishvl("verify", "toy", outputs=outputs).stdout


def annotator():
    """A server that knows every dish but 麻婆豆腐, of which it cannot speak in JSON."""

    def answer(request):
        form = request["response_format"]["json_schema"]["name"]
        prompt = json.dumps(request["messages"], ensure_ascii=False)
        if form == "dish_texts":
            return 200, toys.completion({"introduction": "一道菜。", "recipe": "1. 做。"})
        if "麻婆豆腐" in prompt:
            return 200, toys.completion("这是一道菜。")
        return 200, toys.completion({"name": "菜", "cuisine": "家常菜"})

    return toys.Server(answer)


def test_decisions_make_stage_01_run_again_and_nothing_is_asked_twice(world):
    outputs, profile, _ = world
    with annotator() as server:
        decide_and_run_again(outputs, profile, server)


def decide_and_run_again(outputs, profile, server):
    given = f"annotators=[{{name: toy, base_url: '{server.base_url}', model: m}}]"

    def run():
        done = chain.dishvl(
            "run",
            profile,
            "--to",
            "01",
            "--set",
            "run_name=decided",
            "--set",
            given,
            outputs=outputs,
        )
        assert done.returncode == 0, done.stderr
        return len(server.requests)

    n_requests = run()
    folder = outputs / "decided" / "01_annotation"
    photos = records.read_table(folder / "photos.parquet")
    bad = photos[photos.typical == 2].iloc[0]
    (outputs / "decided" / "decisions").mkdir()
    (outputs / "decided" / "decisions" / "photos.csv").write_text(
        f"image_id,decision\n{bad.image_id},photo bad\n", "utf-8"
    )
    (outputs / "decided" / "decisions" / "names.csv").write_text(
        f"folder,name,action\n{bad.folder},新名字,\n", "utf-8"
    )
    assert n_requests > 4
    assert run() == n_requests
    named = {
        dish["dish_id"]: (dish["name"], dish["name_source"])
        for dish in records.iter_jsonl(folder / "dishes.jsonl")
    }
    assert named[bad.dish_id] == ("新名字", "decision")
    rejected = records.read_table(folder / "rejected.csv")
    assert rejected[rejected.path == bad.path].reason.tolist() == ["photo bad"]
    assert len(list((outputs / "decided").glob("01_annotation.old-*"))) == 1


def test_redo_moves_the_old_folder_aside(world):
    outputs, profile, _ = world
    before = chain.contents(outputs / "toy" / "05_evaluation")
    done = chain.dishvl("run", profile, "--from", "05", "--redo", "05", outputs=outputs)
    assert done.returncode == 0, done.stderr
    aside = [
        folder
        for folder in (outputs / "toy").iterdir()
        if folder.name.startswith("05_evaluation.old-")
    ]
    assert len(aside) == 1
    assert chain.contents(aside[0]) == before
    assert records.read_json(
        outputs / "toy" / "05_evaluation" / "metrics.json"
    ) == records.read_json(aside[0] / "metrics.json")


def test_estimate_counts_the_runs_own_questions_and_measures_this_machine(world):
    outputs = world[0]
    profile = world[1]
    done = chain.dishvl(
        "estimate", profile, "--trial", "--as-official", "--gpu-gb", "24", outputs=outputs
    )
    assert done.returncode == 0, done.stderr
    for part in (
        "annotation: costs nothing",
        "training, ours:",
        "training, the official script's way:",
        "cache of resized photos",
        " hours\n",
        "fits: 0.",
    ):
        assert part in done.stdout, part
