"""Steps of make.sh that are no command of fdpose; they use the code of the commit that README.md names."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

PLACE = "/before"
"""Stands in the stored files for the folder in which they were made."""

FORMATS = {
    "labelme": "labelme",
    "coco": "coco/annotations.json",
    "fdpose-json": "fdpose-json",
    "mpii": "mpii",
    "csv": "csv",
    "pyskl": "pyskl",
}


def mistakes(folder: str) -> None:
    """Put into one annotator's labels what people get wrong beside joints."""
    label = Path(folder, "SyntheticMeet02_Women10m_r1__1", "119116.json")
    value = json.loads(label.read_text())
    value["shapes"] = [
        shape for shape in value["shapes"] if shape["label"] != "athlete"
    ]
    value["shapes"].append(copy.deepcopy(value["shapes"][4]) | {"label": "judge"})
    label.write_text(json.dumps(value, indent=2))
    label = label.parents[1] / "SyntheticMeet01_Men3m_r1__1" / "01493.json"
    value = json.loads(label.read_text())
    value["shapes"].append(copy.deepcopy(value["shapes"][3]))
    label.write_text(json.dumps(value, indent=2))
    label = Path(folder, "SyntheticMeet02_Women10m_r1__1", "119128.json")
    value = json.loads(label.read_text())
    other = {"0": "5", "1": "4", "2": "3", "10": "15", "11": "14", "12": "13"}
    other |= {b: a for a, b in other.items()}
    for shape in value["shapes"]:
        shape["label"] = other.get(shape["label"], shape["label"])
    label.write_text(json.dumps(value, indent=2))
    label = Path(folder, "SyntheticMeet01_Men3m_r1__3", "02587.json")
    value = json.loads(label.read_text())
    value["flags"] = {"unconfirmed": True}
    label.write_text(json.dumps(value, indent=2))


def faulty(labels: str, formats: str, out: str) -> None:
    """Write LabelMe files with one mistake each, and one file of several formats with some."""
    source = sorted(Path(labels).glob("*.json"))
    target = Path(out, "labelme", Path(labels).name)
    target.mkdir(parents=True)
    whole = json.loads(source[0].read_text())
    place = {shape["label"]: number for number, shape in enumerate(whole["shapes"])}

    def write(name: str, change) -> None:
        value = copy.deepcopy(whole)
        value["imagePath"] = (
            "../../../project/frames/SyntheticMeet01_Men3m_r1/1/"
            + source[0].stem
            + ".jpg"
        )
        change(value, value["shapes"])
        folder = Path(out, "labelme", f"Faulty__{name}")
        folder.mkdir(parents=True)
        (folder / source[0].name).write_text(json.dumps(value, indent=1))

    def point(shapes, joint):
        return shapes[place[joint]]

    write("double_joint", lambda v, s: s.append(copy.deepcopy(point(s, "3"))))
    write(
        "double_box",
        lambda v, s: s.append(
            copy.deepcopy(point(s, "athlete")) | {"points": [[1, 1], [40, 40]]}
        ),
    )
    write("missing_box", lambda v, s: s.pop(place["athlete"]))
    write("missing_joint", lambda v, s: s.pop(place["7"]))
    write("no_joint", lambda v, s: s.__delitem__(slice(1, None)))
    write("nothing", lambda v, s: s.clear())
    write("outside", lambda v, s: point(s, "4").update(points=[[700.0, 20.0]]))
    write("beside_box", lambda v, s: point(s, "4").update(points=[[3.0, 3.0]]))
    write(
        "loose_box",
        lambda v, s: point(s, "athlete").update(points=[[0, 0], [454, 255]]),
    )
    write(
        "turned_box",
        lambda v, s: point(s, "athlete").update(points=[[10, 10], [20, 20], [30, 30]]),
    )
    write("other_size", lambda v, s: v.update(imageHeight=100, imageWidth=200))
    write("no_size", lambda v, s: (v.pop("imageHeight"), v.pop("imageWidth")))
    write("no_image", lambda v, s: v.update(imagePath="gone.jpg"))
    write("odd_image", lambda v, s: v.update(imagePath=7))
    write(
        "other_shape",
        lambda v, s: s.append(copy.deepcopy(point(s, "4")) | {"label": "judge"}),
    )
    write(
        "polygon",
        lambda v, s: point(s, "5").update(
            shape_type="polygon", points=[[1, 1], [2, 2], [3, 1]]
        ),
    )
    write("unconfirmed", lambda v, s: v.update(flags={"unconfirmed": True}))
    write("newer", lambda v, s: v.update(version="99.0"))
    write("points", lambda v, s: point(s, "2").update(points=[["a", 2]]))
    write("far", lambda v, s: point(s, "2").update(points=[[1e12, 2]]))
    write("flags", lambda v, s: point(s, "2").update(flags=[1]))
    write("shapes", lambda v, s: v.update(shapes="none"))
    write("mirrored", lambda v, s: _mirror(s))
    write("long_limb", lambda v, s: point(s, "10").update(points=[[400.0, 250.0]]))
    for stem, text in {
        "broken": "{",
        "list": "[1, 2]",
        "nan": json.dumps(whole)[:-1] + ', "x": NaN}',
    }.items():
        (target / f"{stem}.json").write_text(text)
    coco = json.loads(Path(formats, "coco", "annotations.json").read_text())
    notes = coco["annotations"]
    notes[0]["keypoints"][3] = "x"
    notes[1]["keypoints"] = notes[1]["keypoints"][:9]
    notes[2]["image_id"] = 999
    notes[3].pop("bbox", None)
    notes.append(copy.deepcopy(notes[4]))
    notes[5]["keypoints"][2] = 7
    Path(out, "coco.json").write_text(json.dumps(coco, indent=1))
    mpii = json.loads(Path(formats, "mpii", "annotations.json").read_text())
    mpii[0]["joints"] = mpii[0]["joints"][:4]
    mpii[1]["joints_vis"][2] = 9
    mpii[2].pop("scale")
    mpii[3]["image"] = "gone.jpg"
    mpii.append(copy.deepcopy(mpii[4]))
    Path(out, "mpii.json").write_text(json.dumps(mpii, indent=1))
    with next(Path(formats, "csv").rglob("*.csv")).open(newline="") as file:
        rows = list(csv.reader(file))
    rows[1][-1] = "odd"
    rows[2] = rows[2][:5]
    rows.append(rows[3])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    Path(out, "csv.csv").write_text(text.getvalue())
    ours = json.loads(Path(formats, "fdpose-json", "annotations.json").read_text())
    ours[1].pop("joints")
    ours[2]["joints"][5] = [1, 2, 3]
    ours[3]["occluded"] = [77]
    ours[4]["box"] = [10, 10, 5, 5]
    ours.append(copy.deepcopy(ours[6]))
    Path(out, "fdpose.json").write_text(json.dumps(ours, indent=1))


def _mirror(shapes) -> None:
    other = {"0": "5", "1": "4", "2": "3", "10": "15", "11": "14", "12": "13"}
    other |= {b: a for a, b in other.items()}
    for shape in shapes:
        shape["label"] = other.get(shape["label"], shape["label"])


def digests(*paths: str) -> None:
    """Print the SHA-256 of the files at and below paths, that of the first as the folder of the others."""
    root, *names = paths
    print(json.dumps(digests_of(Path(root), names), indent=1))


def digests_of(root: Path, names=("",)) -> dict[str, str]:
    """Return the SHA-256 of files at and below `names` of a folder, without those that hold a time."""
    found = [root / name for name in names]
    files = [
        file
        for path in found
        for file in ([path] if path.is_file() else sorted(path.rglob("*")))
    ]
    kept = [
        file
        for file in files
        if file.is_file() and file.name not in {"manifest.json", "log.txt"}
    ]
    return {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in kept
    }


def convert(formats: str, images: str) -> None:
    """Convert from each format into each, and note what came out."""
    from finediving_pose.cli.main import run

    noted = {}
    for source, path in FORMATS.items():
        given = Path(formats, path)
        if given.is_dir() and source != "labelme":
            given = next(
                file
                for file in sorted(given.iterdir())
                if file.name not in {"manifest.json", "problems.csv"}
            )
        for target in FORMATS:
            out = Path("converted", source, target)
            code = run(
                [
                    "convert",
                    str(given),
                    "--from",
                    source,
                    "--to",
                    target,
                    "--images",
                    images,
                    "--out",
                    str(out),
                ]
            )
            files = digests_of(out) if out.is_dir() else {}
            files.pop("problems.csv", None)
            noted[f"{source} {target}"] = {
                "source": str(given),
                "exit": code,
                "files": files,
            }
    Path("answers", "conversions.json").write_text(json.dumps(noted, indent=1) + "\n")


def clips(frames: str, out: str) -> None:
    """Write 24 small frames of a dive as a folder, 24 of each of two as a recording, and a file that is no video."""
    from finediving_pose.media import write_video

    dives = [
        sorted(path.iterdir())
        for path in sorted(Path(frames).glob("*/*"))
        if path.is_dir()
    ]
    pictures = [
        [
            cv2.resize(cv2.imread(str(p)), (228, 128), interpolation=cv2.INTER_AREA)
            for p in d[20:44]
        ]
        for d in dives
    ]
    blank = np.full_like(pictures[0][0], 120)  # nobody is found in it
    pictures[1][19:] = [blank] * 5
    pictures[2][8:11] = [blank] * 3
    folder = Path(out, "Frames", "1")
    folder.mkdir(parents=True)
    for number, image in enumerate(pictures[0]):
        cv2.imwrite(
            str(folder / f"{number + 100:05d}.jpg"),
            image,
            [cv2.IMWRITE_JPEG_QUALITY, 80],
        )
    write_video(Path(out, "recording.mp4"), [*pictures[1], *pictures[2]], 25)
    Path(out, "broken.mp4").write_bytes(b"no video")
    Path(out, "dives.csv").write_text(
        "video,start_frame,end_frame,match,dive,dive_number,difficulty,awards,score,transitions,synchronised\n"
        "recording.mp4,0,23,Recorded,1,407c,3.4,8;8;7.5;7;7.5;8;8.5,79.9,8;16,0\n"
        "recording.mp4,24,47,Recorded,2,107b,3.1,6;5;5.5;5.5;5.5;6.5;5,51.15,,0\n"
    )


def interrupted(*arguments: str) -> None:
    """Run a training that Ctrl+C ends in its second epoch."""
    from finediving_pose.aqa.training import AqaModule
    from finediving_pose.cli.main import run
    from finediving_pose.openmmlab.training import RunRecorder

    before = RunRecorder.before_train_epoch

    def stop(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt
        before(self, runner)

    RunRecorder.before_train_epoch = stop

    def stop_aqa(self, *_):
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    AqaModule.on_train_epoch_start = stop_aqa
    assert run(list(arguments)) == 130


_BLOCK = (
    np.frombuffer(hashlib.shake_256(b"fdpose 0.1.0").digest(251), np.int8).astype(
        np.float32
    )
    / 128
)


def patterned(array):
    """Return the array with its values replaced by a repeated pattern where it is large, else as it is."""
    if array.ndim < 2 or array.size < 256 or array.dtype.kind != "f":
        return array
    fan_in = array.size // array.shape[0]
    values = np.resize(_BLOCK, array.size) * np.float32(
        2.0 ** -round(np.log2(fan_in) / 2)
    )
    return values.reshape(array.shape).astype(array.dtype)


def pack(*folders: str) -> None:
    """Pattern and pack weights and checkpoints of trainings; remove logs that nothing reads."""
    for root in folders:
        for folder in sorted(Path(root).iterdir()):
            for name in ("mmengine", "tensorboard"):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / "log.txt").unlink(missing_ok=True)
            if folder.name == "stopped":
                _pack_checkpoint(folder / "last.ckpt")
                (
                    folder / "model.safetensors"
                ).unlink()  # as large as that of the finished run, which stands for it
            else:
                (folder / "last.ckpt").unlink()
                _pack_model(folder)


def _pack_model(folder: Path) -> None:
    weights = folder / "model.safetensors"
    _pattern_weights(weights)
    card = json.loads((folder / "model.json").read_text())
    card["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "model.json").write_text(
        json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    )
    if (folder / "exemplars").is_dir():
        _write_bank(folder)
    _xz(weights)


def _pattern_weights(path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = {name: patterned(array) for name, array in load_file(path).items()}
    if any(
        "rtm_cls" in name for name in weights
    ):  # so that a detector that learned nothing finds something
        for name, array in weights.items():
            if array.ndim > 1:
                weights[name] = array * np.float32(2.5)
            elif "rtm_cls" in name or "rtm_reg" in name:
                weights[name] = np.full_like(array, 4 if "reg" in name else 0)
    save_file(weights, path)


def _write_bank(folder: Path) -> None:
    from finediving_pose.aqa.bank import write_bank

    from finediving_pose.aqa.data.sources import Sources, prepare, select
    from finediving_pose.aqa.trained_model import load_model

    model = load_model(folder)
    source = json.loads((folder / "data" / "source.json").read_text())
    prepared = prepare(model.settings, Sources.from_dict(source["sources"]))
    write_bank(
        folder, model, select(prepared.gathered, source["parts"]).train, prepared.loader
    )


def _pack_checkpoint(path: Path) -> None:
    import torch

    def replaced(value, name=""):
        if isinstance(value, torch.Tensor):
            if name.startswith("exp_avg"):
                return torch.zeros_like(value)
            return torch.from_numpy(np.array(patterned(value.numpy())))
        if isinstance(value, dict):
            changed = type(value)()
            for key, each in value.items():
                changed[key] = replaced(each, str(key))
            if hasattr(value, "_metadata"):
                changed._metadata = value._metadata
            return changed
        if type(value) in (list, tuple):
            return type(value)(replaced(each, name) for each in value)
        return value

    torch.save(replaced(torch.load(path, weights_only=False)), path)
    _xz(path)


def _xz(path: Path) -> None:
    path.with_name(path.name + ".xz").write_bytes(
        lzma.compress(path.read_bytes(), preset=9)
    )
    path.unlink()


def unpack(*folders: str) -> None:
    """Unpack the weights beside their packed form."""
    for folder in folders:
        for path in Path(folder).glob("*.xz"):
            path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))


def tables(out: str) -> None:
    """Write predictions, true scores and dive numbers of 24 dives as three files."""
    folder = Path(out)
    folder.mkdir()
    true = [50 + place * 37 % 23 + place / 10 for place in range(24)]
    predicted = [score + place * 11 % 7 - 3 for place, score in enumerate(true)]
    (folder / "predicted.csv").write_text(
        "".join(f"{score:.2f}\n" for score in predicted)
    )
    (folder / "true.csv").write_text("".join(f"{score:.2f}\n" for score in true))
    (folder / "numbers.txt").write_text(
        "".join("407c\n" if place % 2 else "107b\n" for place in range(24))
    )


def store(root: str, here: str) -> None:
    """Put what is kept beside make.sh, without the names of places."""
    kept = {
        "project": ("fdpose.yaml", "frames", "labels", "runs"),
        "formats": ("",),
        "faulty": ("",),
        "clips": ("",),
        "skeletons": ("",),
        "meet": ("annotations", "skeletons"),
        "models": ("",),
        "evaluated": ("predictions.csv", "evaluation.json"),
        "scores": ("",),
        "answers": ("",),
    }
    for folder, names in kept.items():
        shutil.rmtree(Path(here, folder), ignore_errors=True)
        for name in names:
            source, target = Path(root, folder, name), Path(here, folder, name)
            if source.is_dir():
                shutil.copytree(
                    source, target, ignore=shutil.ignore_patterns("*.safetensors.tmp")
                )
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    for path in sorted(Path(here).rglob("*")):
        if (
            path.name == "model.safetensors"
            and path.with_name("model.safetensors.xz").exists()
        ):
            path.unlink()
        elif path.is_file() and path.suffix in {
            ".json",
            ".jsonl",
            ".csv",
            ".txt",
            ".yaml",
        }:
            text = path.read_text(encoding="utf-8")
            text = text.replace(os.path.realpath(root), PLACE).replace(root, PLACE)
            path.write_text(
                re.sub(r'"platform": "[^"]*"', '"platform": "Linux"', text),
                encoding="utf-8",
            )


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
