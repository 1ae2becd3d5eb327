"""Training and inference of a classifier, beside plain PyTorch over MONAI's `CacheDataset` and `DataLoader`.

The series are CT-like volumes of 64 x 128 x 128, prepared; network, data, batch and number of epochs are the same.
Compared are

- training, series a second: `fit_classifier` as the program trains, validation and checkpoints included, and a plain
  loop (AdamW, BCEWithLogitsLoss, `CacheDataset` with all in memory, `DataLoader`) that augments with MONAI's
  transforms of the same kinds, and validates after every epoch;
- the same without augmentation on either side;
- inference, series a second: the network as the program runs it (`FastNetwork`), and in eager mode under
  `torch.no_grad`.

The plain loop gets the network's coarser look (`reduce`) in every step, as a forward pass has it; the program does it
once a series. Each runs in fresh processes, in turns; imports and the first reading of the data are not counted. On a
graphics card it also prints the share of the card's peak in 16 bits.

    python Benchmarks/classifier_speed.py [--network volume3d/densenet121] [--repeats 3] [--clock cpu] [--check]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fresh_process import answer, in_turns, make_parser, peak_bytes, verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "DicomAnalysis"))

SHAPE = (1, 64, 128, 128)
EPOCHS, BATCH, VALIDATION = 4, 4, 4
TRAINING_BOUND, INFERENCE_BOUND = 1.2, 0.9
"""Training as it is done, augmented, is to be faster; inference no slower (a small network on a CPU gains nothing by
folding; a graphics card computes in 16 bits)."""
RUNS = ("ours", "plain", "ours unchanged", "plain unchanged", "fast", "eager")
PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "4090": 165e12, "3090": 71e12}
"""Dense operations a second, as published."""


class Series:
    """Volumes with and without a bright ball, drawn once."""

    def __init__(self, count: int, seed: int):
        self.images, self.labels = [], []
        for index in range(count):
            random = np.random.default_rng((seed, index))
            image = random.normal(0.4, 0.1, SHAPE).astype(np.float32)
            image[:, :, :10] = 0
            if index % 2:
                k, j, i = (int(one) for one in random.integers(12, 48, 3))
                image[:, k : k + 8, j : j + 20, i : i + 20] += 0.4
            self.images.append(image)
            self.labels.append(index % 2)

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int) -> SimpleNamespace:
        """As `CohortDataset.sample` gives it."""
        labels = {"finding": np.array([self.labels[index]])}
        return SimpleNamespace(
            case_id=str(index), images=self.images[index], present=np.ones(1, np.float32), labels=labels
        )


def measure(mode: str, path: Path) -> dict[str, Any]:
    """Time one run in this process."""
    import torch
    from DicomAnalysisLib.networks.devices import device_name

    settings = dict(line.split("=", 1) for line in (path / "settings").read_text().splitlines())
    count, device = int(settings["series"]), settings["device"]
    torch.set_num_threads(int(settings["threads"]))
    network = _network(settings)
    if mode in ("fast", "eager"):
        seconds = _infer(mode, network, count, settings)
        done = count
    else:
        run = _ours if mode.startswith("ours") else _plain
        seconds = run(network, Series(count, 0), Series(VALIDATION, 1), settings, "unchanged" not in mode)
        done = count * EPOCHS
    found = {"rate": done / seconds, "memory": peak_bytes(), "device": device_name(torch.device(device))}
    if device == "cuda":
        found["flops"] = _operations(network, device) * (1 if mode in ("fast", "eager") else 3) * done / seconds
    return found


def _network(settings: dict[str, str]) -> Any:
    import torch
    from DicomAnalysisLib.classification.architectures import ClassifierDescription, build_classifier

    torch.manual_seed(0)
    return build_classifier(ClassifierDescription(settings["network"], 1, 1, settings["size"]))


def _ours(network: Any, training: Series, validation: Series, settings: dict[str, str], changed: bool) -> float:
    import matplotlib.figure  # noqa: F401 (imports are not counted)
    from DicomAnalysisLib.classification.augmentation import Augmentation
    from DicomAnalysisLib.classification.cases import KeptCases
    from DicomAnalysisLib.classification.cohort import Target
    from DicomAnalysisLib.classification.fitting import fit_classifier
    from DicomAnalysisLib.classification.heads import Heads
    from DicomAnalysisLib.classification.options import ClassifierOptions
    from DicomAnalysisLib.networks.fit_loop import repeatable

    heads = Heads((Target("finding", "binary", ("no", "yes")),))
    options = ClassifierOptions(
        network=settings["network"],
        size=settings["size"],
        epochs=EPOCHS,
        batch=BATCH,
        device=settings["device"],
        augmentation=Augmentation() if changed else Augmentation.none(),
    )
    parts = [KeptCases(one, heads, network.reduce) for one in (training, validation)]
    with repeatable():
        pass  # the first time, torch imports its compiler for it
    with tempfile.TemporaryDirectory() as folder:
        start = _now(settings)
        result = fit_classifier(network, *parts, heads, options, Path(folder))
        seconds = _now(settings) - start
    assert len(result.history) == EPOCHS
    return seconds


def _plain(network: Any, training: Series, validation: Series, settings: dict[str, str], changed: bool) -> float:
    """What somebody writes who follows MONAI's tutorials on 3-D classification."""
    import torch
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, RandAffined, RandGaussianNoised, RandScaleIntensityd, RandShiftIntensityd

    device = torch.device(settings["device"])
    network = network.to(device)
    turns = {"rotate_range": (0.17, 0, 0), "scale_range": (0, 0.1, 0.1), "translate_range": (0, 6, 6)}
    changes = [
        RandAffined("image", prob=1.0, **turns, padding_mode="zeros"),
        RandScaleIntensityd("image", 0.1, prob=1.0),
        RandShiftIntensityd("image", 0.05, prob=1.0),
        RandGaussianNoised("image", prob=1.0, std=0.01),
    ]
    sets = [
        CacheDataset(
            [{"image": image, "label": float(label)} for image, label in zip(one.images, one.labels, strict=True)],
            Compose(changes if changed and index == 0 else []),
            progress=False,
        )
        for index, one in enumerate((training, validation))
    ]
    loaders = [DataLoader(one, batch_size=BATCH, shuffle=index == 0, num_workers=0) for index, one in enumerate(sets)]
    optimizer, loss = torch.optim.AdamW(network.parameters(), lr=1e-3), torch.nn.BCEWithLogitsLoss()
    start = _now(settings)
    for _epoch in range(EPOCHS):
        network.train()
        for batch in loaders[0]:
            images, labels = torch.as_tensor(batch["image"]).to(device), batch["label"].to(device).float()
            optimizer.zero_grad()
            value = loss(network(images, _there(images))[:, 0], labels)
            value.backward()
            optimizer.step()
            value.item()
        network.eval()
        with torch.no_grad():
            for batch in loaders[1]:
                images = torch.as_tensor(batch["image"]).to(device)
                network(images, _there(images)).cpu()
    return _now(settings) - start


def _now(settings: dict[str, str]) -> float:
    return time.process_time() if settings["clock"] == "cpu" else time.perf_counter()


def _there(images: Any) -> Any:
    import torch

    return torch.ones(len(images), 1, device=images.device)


def _infer(mode: str, network: Any, count: int, settings: dict[str, str]) -> float:
    import torch
    from DicomAnalysisLib.classification.inference import FastNetwork

    device = settings["device"]
    images = torch.from_numpy(np.stack(Series(min(8, count), 2).images))
    present = torch.ones(1, 1)
    if mode == "fast":
        fast = FastNetwork(network, device)
        one = fast.logits
    else:
        network = network.eval().to(device)

        def one(image: Any, there: Any) -> Any:
            with torch.no_grad():
                return network(image.to(device), there.to(device)).cpu()

    one(images[:1], present)
    start = _now(settings)
    for number in range(count):
        place = number % len(images)
        one(images[place : place + 1], present)
    return _now(settings) - start


def _operations(network: Any, device: str) -> float:
    """Floating-point operations of one series, forwards."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.to(device)(torch.zeros(1, *SHAPE, device=device), torch.ones(1, 1, device=device))
    return float(counter.get_total_flops())


def main() -> int:
    """Run the benchmark and print its table."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--network", default="volume3d/densenet121")
    parser.add_argument("--size", default="small", choices=("small", "standard"))
    parser.add_argument("--series", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    parser.add_argument(
        "--clock", default="wall", choices=("wall", "cpu"), help="cpu: by time of processors, on a busy machine"
    )
    arguments = parser.parse_args()
    if answer(arguments, measure):
        return 0
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = arguments.threads or torch.get_num_threads()
    settings = {
        "network": arguments.network,
        "size": arguments.size,
        "series": arguments.series,
        "device": device,
        "threads": threads,
        "clock": arguments.clock,
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "settings").write_text("\n".join(f"{name}={value}" for name, value in settings.items()))
        runs = in_turns(__file__, RUNS, Path(folder), arguments.repeats)
    print(
        f"{arguments.network}, {arguments.size}; {arguments.series} series of {' x '.join(map(str, SHAPE[1:]))}, "
        f"median of {arguments.repeats} runs"
    )
    clock = "the clock" if arguments.clock == "wall" else "time of processors"
    print(f"device {runs['ours'][0]['device']}, {threads} threads, torch {torch.__version__}, by {clock}")
    for mode in RUNS:
        rate, memory = (statistics.median(run[key] for run in runs[mode]) for key in ("rate", "memory"))
        print(f"  {mode:16s} {rate:8.2f} series/s  peak {memory / 1e6:6.0f} MB{_share(runs[mode])}")
    ratios = {pair: _ratio(runs, *pair) for pair in (("ours", "plain"), ("ours unchanged", "plain unchanged"))}
    ratios["fast", "eager"] = _ratio(runs, "fast", "eager")
    met = []
    for (one, other), ratio in ratios.items():
        bound = INFERENCE_BOUND if one == "fast" else TRAINING_BOUND
        if one == "ours unchanged":  # without augmentation nothing is left to be faster at; told, not judged
            print(f"{one} / {other} {ratio:.2f}")
            continue
        met.append(ratio >= bound)
        print(f"{one} / {other} {ratio:.2f}, bound {bound:g}: {verdict(met[-1])}")
    return int(arguments.check and not all(met))


def _share(runs: list[dict]) -> str:
    """Of the card's peak in 16 bits."""
    peak = next((value for name, value in PEAK_BF16.items() if name in runs[0]["device"]), None)
    if peak is None or "flops" not in runs[0]:
        return ""
    return f"  {100 * statistics.median(run['flops'] for run in runs) / peak:.2f} % of bf16 peak"


def _ratio(runs: dict[str, list[dict]], one: str, other: str) -> float:
    """Median of the ratios of each round, which a busy minute changes least."""
    return statistics.median(a["rate"] / b["rate"] for a, b in zip(runs[one], runs[other], strict=True))


if __name__ == "__main__":
    sys.exit(main())
