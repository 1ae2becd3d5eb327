"""The headrest network on a head series, beside the classical method and MONAI's plain `SlidingWindowInferer`.

The series is the head phantom in its holder, 60 slices of 512 x 512 (0.488 mm, 2.5 mm apart). Compared are

- whole runs from voxels to labelmap: the classical method, the network, and what `auto` does;
- the network alone, on the same planes of block means: as the program runs it (`Predictor` on the part of the
  layers that is not air), `Predictor` on every pixel, and MONAI's `SlidingWindowInferer` with its defaults
  (`sw_batch_size=1`, overlap 0.25, float32, nothing folded), slice by slice, with windows of 96, of 128 and as
  large as a slice.

Each runs in fresh processes, in turns; imports and the reading of weights are not counted. Without a shipped model
the weights are random: times are the same, Dice says nothing. With CUDA there it also prints milliseconds a slice
of 512 x 512 on the graphics card.

    python Benchmarks/network_inference.py [--model NAME|FOLDER] [--slices 60] [--repeats 5] [--check]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from fresh_process import answer, in_turns, make_parser, peak_bytes, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SIZE, PIXEL_MM, SLICE_MM = 512, 0.488, 2.5
SPEED_BOUND, DICE_BOUND = 3.0, 0.002
RUNS = ("classical", "network", "auto")
INFERENCE = ("as used", "every pixel", "MONAI 96", "MONAI 128", "MONAI slice")
BOUND_BY = ("MONAI 96", "MONAI 128")
TITLES = {
    "classical": "classical method, voxels to labelmap",
    "network": "network method, voxels to labelmap",
    "auto": "auto, voxels to labelmap",
    "as used": "network alone, as the program runs it",
    "every pixel": "network alone, every pixel of every layer",
    "MONAI 96": "MONAI SlidingWindowInferer, windows of 96",
    "MONAI 128": "MONAI SlidingWindowInferer, windows of 128",
    "MONAI slice": "MONAI SlidingWindowInferer, one window a slice",
    "cuda": "network alone on the graphics card, 512 x 512",
}


def write_case(folder: Path, slices: int, model: str | None) -> str:
    """The phantom, its holder, and the model; returns what the weights are."""
    from DicomAnalysisLib.errors import UsageError
    from DicomAnalysisLib.networks.architectures import build_network
    from DicomAnalysisLib.networks.card import ModelCard
    from DicomAnalysisLib.networks.model_folder import find_model, load_model, save_model
    from DicomAnalysisLib.phantom import make_head_phantom
    from DicomAnalysisLib.segmentation.training.tasks import model_description

    phantom = make_head_phantom((slices, SIZE, SIZE), (SLICE_MM, PIXEL_MM, PIXEL_MM), seed=1)
    np.save(folder / "voxels.npy", phantom.volume.voxels)
    np.save(folder / "headrest.npy", phantom.headrest)
    try:
        found = load_model(find_model(model or "headrest"))
        said = f"{found.description.name} {found.description.version}"
    except UsageError:
        if model:
            raise
        import torch

        torch.manual_seed(0)
        description = model_description("headrest", small=False)
        save_model(folder / "model", build_network(description), description, ModelCard("Benchmarks."))
        return "random"
    save_model(folder / "model", found.network, found.description, found.card)
    return said


def measure(mode: str, folder: Path) -> dict[str, Any]:
    """Time one run in this process."""
    return _measure_run(mode, folder) if mode in RUNS else _measure_inference(mode, folder)


def _volume(folder: Path) -> Any:
    from DicomAnalysisLib.volume import StackGeometry, Volume

    voxels = np.load(folder / "voxels.npy")
    positions = [[0.0, 0.0, SLICE_MM * k] for k in range(len(voxels))]
    return Volume(voxels, StackGeometry([1, 0, 0], [0, 1, 0], (PIXEL_MM, PIXEL_MM), positions))


def _measure_run(mode: str, folder: Path) -> dict[str, Any]:
    from DicomAnalysisLib.networks.model_folder import load_model
    from DicomAnalysisLib.segmentation import SegmentationOptions, segment

    volume = _volume(folder)
    if mode != "classical":
        load_model(folder / "model")  # imports what the network needs
    options = SegmentationOptions(("headrest",), method=mode, models=(str(folder / "model"),), device="cpu")
    start = time.perf_counter()
    result = segment(volume, options)
    seconds = time.perf_counter() - start
    truth = np.load(folder / "headrest.npy")
    return {"seconds": seconds, "memory": peak_bytes(), "dice": _dice(result.labelmap() > 0, truth)}


def _measure_inference(mode: str, folder: Path) -> dict[str, Any]:
    import torch
    from DicomAnalysisLib.networks.devices import device_name
    from DicomAnalysisLib.networks.model_folder import load_model
    from DicomAnalysisLib.networks.prediction import Predictor
    from DicomAnalysisLib.segmentation import SegmentationOptions
    from DicomAnalysisLib.segmentation.analysis import Analysis
    from DicomAnalysisLib.segmentation.network.fusion import classical_guess
    from DicomAnalysisLib.segmentation.network.grid import SUPPORT, layer_inputs, network_grid
    from DicomAnalysisLib.segmentation.network.headrest import view
    from monai.inferers import SlidingWindowInferer

    volume, model = _volume(folder), load_model(folder / "model")
    grid = network_grid(volume.shape, volume.geometry)
    means, layers = grid.block_means(volume.voxels), np.arange(grid.shape[0])
    analysis = Analysis(volume, SegmentationOptions(tasks=("headrest",)), lambda _share, _stage: None)
    guess = classical_guess(analysis, grid)
    inputs = layer_inputs(means, guess, layers)
    if mode == "cuda":
        return _measure_cuda(Predictor(model, "cuda"), len(inputs[0]))
    predictor = Predictor(model, "cpu")
    start = time.perf_counter()
    if mode == "as used":
        seen = view(means, guess, grid, layers, predictor)
        support, patient = seen.support.astype(np.int16), seen.patient.astype(np.int16)
        found = (support > patient) & (support > 255 - patient - support)
    elif mode == "every pixel":
        found = [one.argmax(0) == SUPPORT for one in predictor.run(inputs)]
    else:
        windows = mode.removeprefix("MONAI ")
        multiple = 16
        size = [-(-n // multiple) * multiple for n in inputs[0].shape[1:]] if windows == "slice" else [int(windows)] * 2
        inferer, found = SlidingWindowInferer(size), []
        with torch.inference_mode():
            for image in inputs:
                scores = inferer(torch.from_numpy(image[None]), model.network)
                found.append(torch.softmax(scores, 1)[0].numpy().argmax(0) == SUPPORT)
    seconds = time.perf_counter() - start
    memory, found = peak_bytes(), np.asarray(found)
    truth = 2 * grid.block_means(np.load(folder / "headrest.npy").astype(np.int16) * 1000, floor=0) > 1000
    np.save(folder / f"{mode}.npy", found)
    whole = np.load(folder / "MONAI slice.npy") if (folder / "MONAI slice.npy").exists() else found
    return {
        "seconds": seconds,
        "memory": memory,
        "dice": _dice(found, truth),
        "same": _dice(found, whole),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
    }


def _measure_cuda(predictor: Any, channels: int) -> dict[str, Any]:
    import torch
    from DicomAnalysisLib.networks.devices import device_name

    images = list(np.random.default_rng(0).random((256, channels, SIZE, SIZE), dtype=np.float32) * 2 - 1)
    for _ in predictor.run(images[:64]):
        pass
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in predictor.run(images):
        pass
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / len(images)
    name = device_name(torch.device("cuda"))
    return {"seconds": seconds, "memory": torch.cuda.max_memory_allocated(), "dice": float("nan"), "device": name}


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


def main() -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--model", help="a shipped model's name or a model's folder; the shipped headrest by default")
    arguments = parser.parse_args()
    if answer(arguments, measure):
        return 0
    import torch

    modes = ("MONAI slice", *RUNS, *(mode for mode in INFERENCE if mode != "MONAI slice"))
    with tempfile.TemporaryDirectory() as folder:
        weights = write_case(Path(folder), arguments.slices, arguments.model)
        runs = in_turns(__file__, modes, Path(folder), arguments.repeats)
        cuda = in_turns(__file__, ("cuda",), Path(folder), 1)["cuda"] if torch.cuda.is_available() else []
    first = runs["MONAI slice"][0]
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, median of {arguments.repeats} runs, weights: {weights}")
    print(f"device {first['device']}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for mode in (*RUNS, *INFERENCE):
        seconds = statistics.median(run["seconds"] for run in runs[mode])
        memory = statistics.median(run["memory"] for run in runs[mode]) / 1e6
        dice = runs[mode][0]["dice"]
        same = f"  same as one window {runs[mode][0]['same']:.4f}" if mode in INFERENCE else ""
        print(f"  {TITLES[mode]:50s} {seconds:7.3f} s  peak {memory:5.0f} MB  Dice {dice:.4f}{same}")
    for run in cuda:
        print(f"  {TITLES['cuda']:50s} {1000 * run['seconds']:7.2f} ms a slice on {run['device']}")
    for mode in ("network", "auto"):
        print(f"{mode} / classical {_ratio(runs, mode, 'classical'):.2f}")
    met = []
    for mode in INFERENCE[2:]:
        faster = [_ratio(runs, mode, ours) for ours in INFERENCE[:2]]
        bound = f", bound {SPEED_BOUND:g}: {verdict(faster[0] >= SPEED_BOUND)}" if mode in BOUND_BY else ""
        print(f"{mode} / network alone {faster[0]:.2f} as used{bound}; {faster[1]:.2f} on every pixel")
        met += [faster[0] >= SPEED_BOUND] if mode in BOUND_BY else []
    if weights != "random":
        less = runs["MONAI slice"][0]["dice"] - runs["as used"][0]["dice"]
        met.append(less <= DICE_BOUND)
        print(f"Dice lost against MONAI with one window a slice {less:.4f}, bound {DICE_BOUND}: {verdict(met[-1])}")
    return int(arguments.check and not all(met))


def _ratio(runs: dict[str, list[dict]], one: str, other: str) -> float:
    """Median of the ratios of each round, which a busy minute changes least."""
    return statistics.median(a["seconds"] / b["seconds"] for a, b in zip(runs[one], runs[other], strict=True))


if __name__ == "__main__":
    sys.exit(main())
