"""Training on a task that a tiny network learns in seconds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'network'")
pytest.importorskip("monai", reason="training needs the extra 'network'")

import torch
from bright_squares import BrightSquares, tiny_network
from DicomAnalysisLib.errors import UsageError
from DicomAnalysisLib.networks.checkpoint import NAME, load_checkpoint
from DicomAnalysisLib.networks.fit_loop import dice_of, make_loss, one_cycle
from DicomAnalysisLib.networks.fit_options import FitOptions, TrainingCancelledError, TrainingError
from DicomAnalysisLib.networks.fitting import fit
from DicomAnalysisLib.networks.history import read_history

TRAINING, VALIDATION = BrightSquares(24, 0), BrightSquares(6, 1)
OPTIONS = FitOptions(epochs=4, batch=8, learning_rate=1e-2, device="cpu")
CLASSES = ("background", "bright", "dark")


@pytest.fixture(autouse=True)
def one_thread():
    """Many tiny steps: threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Squares(torch.nn.Sequential):
    """A network whose `forward` can be replaced."""

    def __init__(self):
        super().__init__(tiny_network())

    def forward(self, images):
        return torch.nn.Module.forward(self, images)


def train(folder, options=OPTIONS, training=TRAINING, validation=VALIDATION, **more):
    network = tiny_network()
    return network, fit(network, training, validation, options, folder, class_names=CLASSES, **more)


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    events = []
    network, result = train(folder, report=events.append, preview=[VALIDATION.sample(0, n) for n in range(3)])
    torch.set_num_threads(before)
    return folder, network, result, events


class TestATraining:
    def test_learns_and_says_what_it_reached(self, unbroken):
        folder, network, result, _events = unbroken
        assert result.history[-1].score > result.history[0].score + 0.2
        assert result.best_score == max(record.score for record in result.history)
        assert (result.stopped, result.device, len(result.history)) == ("epochs", "cpu", 4)
        assert not network.training
        assert read_history(folder) == result.history

    def test_score_is_dice_of_counts_over_the_whole_set(self, unbroken):
        _folder, network, result, _events = unbroken
        both, truth, found = np.zeros((3, 3), int)
        with torch.inference_mode():
            for index in range(len(VALIDATION)):
                image, label = VALIDATION.sample(0, index)
                predicted = network(torch.from_numpy(image[None])).argmax(1)[0].numpy()
                for value in (1, 2):
                    both[value] += ((predicted == value) & (label == value)).sum()
                    truth[value] += (label == value).sum()
                    found[value] += (predicted == value).sum()
        expected = 2 * both[1:] / (truth + found)[1:]
        best = result.history[result.best_epoch - 1]
        np.testing.assert_allclose(best.class_scores, expected, atol=1e-12)
        assert best.score == pytest.approx(expected.mean())

    def test_progress_goes_on_and_every_epoch_gives_its_numbers(self, unbroken):
        _folder, _network, result, events = unbroken
        values = [event.value for event in events]
        assert values == sorted(values)
        assert values[-1] == 1.0
        assert tuple(event.record for event in events if event.record) == result.history
        batches = [event for event in events if event.stage == "training"]
        assert len(batches) == 4 * 3
        assert all(event.loss > 0 and event.batches == 3 for event in batches)
        assert all(event.seconds_left >= 0 for event in batches[3:])

    def test_files(self, unbroken):
        from PIL import Image

        folder = unbroken[0]
        lines = (folder / "history.csv").read_text().splitlines()
        assert lines[0].startswith("epoch,training_loss,validation_loss,mean_dice,dice bright,dice dark,")
        assert len(lines) == 5
        assert json.loads((folder / "history.json").read_text())["classes"] == ["bright", "dark"]
        assert sorted(path.name for path in (folder / "strips").iterdir()) == [f"epoch-00{n}.png" for n in (1, 2, 3, 4)]
        with Image.open(folder / "strips" / "epoch-001.png") as strip:
            assert strip.size == (3 * 32 + 2 * 2, 3 * 32 + 2 * 2)
        with Image.open(folder / "training.gif") as animation:
            assert animation.n_frames == 4
        assert (folder / "curves.png").stat().st_size > 5000
        assert not list(folder.glob(".*"))

    def test_the_checkpoint_is_tensors_and_plain_values(self, unbroken):
        state = torch.load(unbroken[0] / NAME, weights_only=True)
        assert state["options"]["seed"] == 0
        assert len(state["history"]) == 4

    def test_torchs_settings_are_left_alone(self, tmp_path):
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        network = tiny_network()
        torch.manual_seed(5)
        fit(network, BrightSquares(2), BrightSquares(2, 1), FitOptions(epochs=1, device="cpu"), tmp_path)
        assert torch.rand(1) == expected
        assert not torch.are_deterministic_algorithms_enabled()


class TestTheSameNumbers:
    def test_same_seed_same_weights(self, unbroken, tmp_path):
        network, _result = train(tmp_path)
        assert weights(network) == weights(unbroken[1])

    def test_another_seed_other_weights(self, unbroken, tmp_path):
        network, _result = train(tmp_path, FitOptions(epochs=4, learning_rate=1e-2, device="cpu", seed=1))
        assert weights(network) != weights(unbroken[1])

    def test_by_processes_as_by_a_thread(self, unbroken, tmp_path):
        options = FitOptions(epochs=4, batch=8, learning_rate=1e-2, device="cpu", workers=1)
        network, _result = train(tmp_path, options)
        assert weights(network) == weights(unbroken[1])

    @pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
    def test_resumed_after_a_kill(self, unbroken, tmp_path):
        code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
import torch
from pathlib import Path
torch.set_num_threads(1)
import test_fitting
def report(progress):
    if progress.epoch == 3 and progress.batch == 2:  # in the middle of the third epoch
        os.kill(os.getpid(), signal.SIGKILL)
test_fitting.train(Path({str(tmp_path)!r}), report=report)
"""
        killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
        assert len(read_history(tmp_path)) == 2
        network, result = train(tmp_path, resume=True)
        assert weights(network) == weights(unbroken[1])
        again = [(r.epoch, r.training_loss, r.validation_loss, r.score, r.learning_rate) for r in result.history]
        once = [(r.epoch, r.training_loss, r.validation_loss, r.score, r.learning_rate) for r in unbroken[2].history]
        assert again == once

    def test_a_finished_training_is_resumed_to_its_result(self, unbroken, tmp_path):
        _network, first = train(tmp_path, FitOptions(epochs=1, device="cpu"))
        _network, second = train(tmp_path, FitOptions(epochs=1, device="cpu"), resume=True)
        assert (second.history, second.best_epoch) == (first.history, 1)


class TestTheEnd:
    def test_early_stopping_fires(self, tmp_path):
        # What is learned says nothing about the validation set: its classes are swapped.
        class Swapped(BrightSquares):
            def sample(self, epoch, index):
                image, label = super().sample(epoch, index)
                return -image, label

        options = FitOptions(epochs=30, learning_rate=1e-2, patience=3, device="cpu")
        network, result = train(tmp_path, options, validation=Swapped(6, 1))
        assert result.stopped == "patience"
        assert len(result.history) == result.best_epoch + 3 < 30
        best = load_checkpoint(tmp_path)["best"]
        assert weights(network) == {name: value.numpy().tobytes() for name, value in best.items()}

    def test_time_is_up(self, tmp_path):
        _network, result = train(tmp_path, FitOptions(epochs=50, device="cpu", minutes=1e-6))
        assert (result.stopped, len(result.history)) == ("minutes", 1)
        _network, result = train(tmp_path, FitOptions(epochs=50, device="cpu", minutes=1e-6), resume=True)
        assert len(result.history) == 2, "every call does at least one epoch: whoever resumes gets on"

    @pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 19, 21, 300])
    def test_the_learning_rate_rises_and_falls_over_any_number_of_steps(self, steps):
        import torch

        optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = one_cycle(optimizer, 1e-2, steps)
        rates = []
        for _step in range(steps):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            if len(rates) < steps:
                schedule.step()
        assert all(0 < rate <= 1e-2 for rate in rates)
        if steps > 2:
            assert rates[0] < 1e-3
            assert max(rates) > 5e-3
            assert rates[-1] < 1e-5

    def test_cancel_between_batches_keeps_the_checkpoint(self, unbroken, tmp_path):
        asked = []
        stop_at = 9  # within the second epoch

        def cancelled():
            asked.append(1)
            return len(asked) > stop_at

        with pytest.raises(TrainingCancelledError, match="resume"):
            train(tmp_path, cancelled=cancelled)
        assert len(read_history(tmp_path)) == 1
        network, _result = train(tmp_path, resume=True)
        assert weights(network) == weights(unbroken[1])

    def test_an_interrupt_keeps_it_too(self, tmp_path):
        def interrupt(progress):
            if progress.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, report=interrupt)
        assert len(load_checkpoint(tmp_path)["history"]) == 1

    def test_numbers_out_of_bounds(self, tmp_path):
        class Endless(BrightSquares):
            def sample(self, epoch, index):
                image, label = super().sample(epoch, index)
                return image * np.float32(np.inf), label

        with pytest.raises(TrainingError, match=r"no longer a number.*Lower the learning rate"):
            train(tmp_path, training=Endless())


class TestWhatCannotBeDone:
    def test_nothing_to_resume(self, tmp_path):
        with pytest.raises(TrainingError, match="no training to resume"):
            train(tmp_path, resume=True)

    def test_other_options(self, tmp_path):
        train(tmp_path, FitOptions(epochs=1, device="cpu"))
        with pytest.raises(TrainingError, match="another epochs, batch, number of samples"):
            train(tmp_path, FitOptions(epochs=2, batch=4, device="cpu"), training=BrightSquares(5), resume=True)

    def test_another_network(self, tmp_path):
        from monai.networks.nets import UNet

        options = FitOptions(epochs=1, device="cpu")
        train(tmp_path, options)
        other = UNet(2, 1, 3, (8, 16), (2,))
        with pytest.raises(TrainingError, match="another network"):
            fit(other, TRAINING, VALIDATION, options, tmp_path, resume=True)

    def test_a_damaged_checkpoint(self, tmp_path):
        train(tmp_path, FitOptions(epochs=1, device="cpu"))
        path = tmp_path / NAME
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(TrainingError, match=r"checkpoint\.pt cannot be read"):
            train(tmp_path, FitOptions(epochs=1, device="cpu"), resume=True)

    @pytest.mark.parametrize(
        "error",
        [
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
            RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ],
        ids=lambda error: str(error)[:5],
    )
    @pytest.mark.parametrize("where", ["forward", "to"])
    def test_too_little_memory(self, tmp_path, monkeypatch, error, where):
        def refuse(*_arguments, **_options):
            raise error

        monkeypatch.setattr(torch.nn.Module, where, refuse)
        network = Squares()
        with pytest.raises(TrainingError, match="batch of 8"):
            fit(network, TRAINING, VALIDATION, OPTIONS, tmp_path)

    def test_a_full_disk(self, tmp_path):
        pytest.importorskip("resource", reason="a limit on the size of files stands for a full disk; Windows has none")
        train(tmp_path, FitOptions(epochs=1, device="cpu"))
        before = (tmp_path / NAME).read_bytes()
        program = f"""if True:
            import resource, signal, sys; sys.path[:0] = {sys.path!r}
            import torch
            from pathlib import Path
            from DicomAnalysisLib.networks.checkpoint import save_checkpoint
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            save_checkpoint(Path({str(tmp_path)!r}), {{"state": torch.zeros(100_000)}})
        """
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "OutputError: Cannot write" in done.stderr
        assert "space on the disk" in done.stderr
        assert (tmp_path / NAME).read_bytes() == before
        assert not [path for path in tmp_path.iterdir() if path.name.endswith(NAME) and path.name != NAME]

    def test_no_samples(self, tmp_path):
        with pytest.raises(TrainingError, match="no samples for validation"):
            train(tmp_path, validation=BrightSquares(0))

    @pytest.mark.parametrize(
        "wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"loss": "mse"}, {"minutes": -1}, {"amp": "int8"}]
    )
    def test_options_without_sense(self, wrong):
        with pytest.raises(UsageError):
            FitOptions(**wrong)

    def test_a_device_that_is_not_there(self, tmp_path):
        if torch.cuda.is_available():
            pytest.skip("this computer has CUDA")
        with pytest.raises(UsageError, match="cuda"):
            train(tmp_path, FitOptions(device="cuda"))


class TestLoss:
    def test_ablation_is_cross_entropy_alone(self):
        torch.manual_seed(0)
        logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8)
        entropy = torch.nn.functional.cross_entropy(logits, labels.long())
        assert make_loss("ce")(logits, labels).item() == pytest.approx(entropy.item(), rel=1e-5)
        chances = logits.softmax(1)
        dice = []
        for value in (1, 2):
            there = (labels == value).float()
            dice.append(2 * (there * chances[:, value]).sum() / (there.sum() + chances[:, value].sum()))
        expected = entropy + 1 - sum(dice) / 2
        assert make_loss("dice+ce")(logits, labels).item() == pytest.approx(expected.item(), rel=1e-4)

    def test_both_train(self, tmp_path):
        _network, result = train(tmp_path, FitOptions(epochs=2, learning_rate=1e-2, loss="ce", device="cpu"))
        assert result.history[1].training_loss < result.history[0].training_loss

    def test_a_class_that_is_neither_there_nor_found_counts_for_nothing(self):
        assert dice_of(np.array([[90, 95, 95], [5, 10, 10], [0, 0, 0]])) == (0.5, None)


def test_sixteen_bits_on_the_cpu(unbroken, tmp_path):
    options = FitOptions(epochs=4, batch=8, learning_rate=1e-2, device="cpu", amp="bfloat16")
    network, result = train(tmp_path, options)
    assert all(value.dtype != torch.bfloat16 for value in network.state_dict().values())
    assert weights(network) != weights(unbroken[1])
    assert result.best_score == pytest.approx(unbroken[2].best_score, abs=0.1)


def test_logs_for_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = FitOptions(epochs=2, device="cpu", tensorboard=True)
    _network, result = train(tmp_path, options, preview=[VALIDATION.sample(0, 0)])
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("dice/mean")]
    np.testing.assert_allclose(logged, [record.score for record in result.history], rtol=1e-6)
    assert len(events.Images("predictions")) == 2


def test_without_tensorboard_there_is_a_clear_message(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        train(tmp_path, FitOptions(epochs=1, device="cpu", tensorboard=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_on_cuda(tmp_path):
    network, result = train(tmp_path, FitOptions(epochs=4, learning_rate=1e-2, device="cuda", workers=2))
    assert result.history[-1].score > result.history[0].score
    assert next(network.parameters()).device.type == "cpu"
    _again, second = train(tmp_path / "again", FitOptions(epochs=4, learning_rate=1e-2, device="cuda", workers=2))
    assert second.best_score == pytest.approx(result.best_score, abs=1e-3)


def test_modules_are_imported_without_torch():
    code = (
        f"import sys; sys.path[:0] = {[str(Path(p)) for p in sys.path]!r}\n"
        "sys.modules['torch'] = sys.modules['monai'] = sys.modules['matplotlib'] = None\n"
        "import DicomAnalysisLib.networks.fitting, DicomAnalysisLib.networks.history"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
