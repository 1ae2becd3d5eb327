"""Running networks: sizes, batches, devices, and memory that does not suffice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from DicomAnalysisLib.errors import ModelError, TaskError, UsageError
from DicomAnalysisLib.networks import prediction
from DicomAnalysisLib.networks.devices import autocast_dtype, choose_device, cpu_computes_bfloat16, device_name
from DicomAnalysisLib.networks.folding import fold_batch_norm
from DicomAnalysisLib.networks.prediction import Predictor
from small_models import DESCRIPTION, random_model, random_network

torch = pytest.importorskip("torch", reason="torch is not installed (pip install '.[network]')")
torch.set_num_threads(1)  # networks of this size gain nothing from more, and lose where others compute


def _slices(count: int, size: tuple[int, int] = (32, 40), seed: int = 1) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random((1, *size), dtype=np.float32) for _ in range(count)]


def _plainly(model, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(model.network(torch.from_numpy(image[None])), dim=1)[0].numpy()


class TestResult:
    def test_is_what_the_network_says(self):
        model, images = random_model(), _slices(7)
        found = list(Predictor(model, "cpu").run(images))
        assert len(found) == 7
        for image, one in zip(images, found, strict=True):
            assert one.shape == (3, 32, 40)
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, _plainly(model, image), atol=1e-5 if not cpu_computes_bfloat16() else 2e-2)
            np.testing.assert_allclose(one.sum(0), 1, atol=1e-5)

    def test_any_size_comes_back_as_it_was(self):
        sizes = [(32, 32), (33, 30), (33, 30), (1, 5), (32, 32)]
        images = [_slices(1, size, n)[0] for n, size in enumerate(sizes)]
        found = list(Predictor(random_model(), "cpu").run(iter(images)))
        assert [one.shape[1:] for one in found] == sizes
        np.testing.assert_array_equal(found[0], next(Predictor(random_model(), "cpu").run(images[:1])))

    def test_padding_goes_on_with_the_border(self):
        model, [image] = random_model(), _slices(1, (30, 31))
        padded = np.pad(image, [(0, 0), (0, 2), (0, 1)], mode="edge")
        [found] = Predictor(model, "cpu").run([image])
        [whole] = Predictor(model, "cpu").run([padded])
        np.testing.assert_array_equal(found, whole[:, :30, :31])

    def test_no_batch_changes_a_bit_on_the_cpu(self):
        images = _slices(11, (48, 48))
        first, *others = [list(Predictor(random_model(), "cpu", batch).run(images)) for batch in (None, 1, 3, 64)]
        for other in others:
            np.testing.assert_array_equal(first, other)

    def test_slices_are_taken_as_they_are_needed(self):
        taken = []

        def endless():
            while True:
                taken.append(1)
                yield np.zeros((1, 512, 512), np.float32)

        run = Predictor(random_model(), "cpu").run(endless())
        next(run)
        assert len(taken) <= 5

    def test_no_slice_no_result(self):
        assert list(Predictor(random_model(), "cpu").run([])) == []

    def test_the_model_stays_as_it_was(self):
        model = random_model()
        before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
        list(Predictor(model, "cpu").run(_slices(1)))
        assert model.network.state_dict().keys() == before.keys()
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


class TestFolding:
    def test_no_normalisation_is_left_in_our_network(self):
        folded = fold_batch_norm(random_network())
        assert not [one for one in folded.modules() if isinstance(one, torch.nn.BatchNorm2d)]

    @pytest.mark.parametrize("ordering", ["NDA", "AND", "DAN"])
    def test_only_where_it_follows_the_convolution(self, ordering):
        architecture = {**DESCRIPTION.architecture, "adn_ordering": ordering, "dropout": 0.1}
        network = random_network(replace(DESCRIPTION, architecture=architecture))
        image = torch.from_numpy(np.stack(_slices(2)))
        with torch.inference_mode():
            torch.testing.assert_close(fold_batch_norm(network)(image), network(image), atol=1e-4, rtol=1e-4)

    def test_other_networks_stay_right(self):
        for architecture in (
            {"network": "BasicUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [4] * 6},
            {"network": "SegResNet", "spatial_dims": 2, "init_filters": 8, "norm": "BATCH"},
        ):
            network = random_network(replace(DESCRIPTION, architecture=architecture))
            image = torch.from_numpy(np.stack(_slices(2, (32, 32))))
            with torch.inference_mode():
                torch.testing.assert_close(fold_batch_norm(network)(image), network(image), atol=1e-4, rtol=1e-4)


class TestRefusals:
    def test_a_batch_of_nothing(self):
        with pytest.raises(UsageError, match="Give 1 or more"):
            Predictor(random_model(), "cpu", 0)

    def test_slices_with_other_channels(self):
        with pytest.raises(ModelError, match="cannot be run on slices"):
            list(Predictor(random_model(), "cpu").run([np.zeros((2, 32, 32), np.float32)]))

    def test_what_is_not_a_slice(self):
        with pytest.raises(ModelError, match="channels, rows, columns"):
            list(Predictor(random_model(), "cpu").run([np.zeros((32, 32), np.float32)]))

    def test_a_network_for_volumes(self):
        architecture = {**DESCRIPTION.architecture, "spatial_dims": 3}
        with pytest.raises(ModelError, match="works in 3 dimensions"):
            Predictor(random_model(replace(DESCRIPTION, architecture=architecture)), "cpu")

    def test_other_classes_than_described(self):
        model = random_model()
        wrong = replace(model, description=replace(model.description, output={"classes": ["a", "b"]}))
        with pytest.raises(ModelError, match="2 classes"):
            list(Predictor(wrong, "cpu").run(_slices(1)))


class TestDevices:
    def test_auto_is_a_device_that_is_there(self):
        assert choose_device("auto").type in ("cpu", "cuda", "mps")
        assert choose_device("cpu") == torch.device("cpu")

    @pytest.mark.parametrize("wanted", ["gpu", "", "cuda:x", "cpu:1", "mps:0", "meta"])
    def test_an_unknown_one(self, wanted):
        with pytest.raises(UsageError, match="There is no device"):
            choose_device(wanted)

    def test_one_that_is_not_there(self):
        if not torch.cuda.is_available():
            with pytest.raises(UsageError, match="Choose auto or cpu"):
                choose_device("cuda")
        if not torch.backends.mps.is_available():
            with pytest.raises(UsageError, match="Apple silicon"):
                choose_device("mps")

    def test_short_numbers_only_where_they_are_computed(self):
        assert autocast_dtype(torch.device("mps")) is None
        assert autocast_dtype(torch.device("cpu")) in ((torch.bfloat16,) if cpu_computes_bfloat16() else (None,))
        assert device_name(torch.device("cpu")) == "cpu"


def test_a_network_too_large_for_sixteen_bits_goes_on_in_thirty_two(monkeypatch):
    """On cards before compute capability 8 the range of float16 ends at 65504."""
    monkeypatch.setattr(prediction, "autocast_dtype", lambda device: torch.float16)
    model = random_model()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter *= 8
    images = _slices(3)
    wanted = [_plainly(model, image) for image in images]
    assert np.isfinite(wanted).all()
    predictor = Predictor(model, "cpu")
    np.testing.assert_allclose(list(predictor.run(images)), wanted, atol=1e-5)
    [warning] = predictor.warnings
    assert "goes on in 32 bits" in warning


class SmallMemory(torch.nn.Module):
    """A network on a device that holds only so many slices; it can be had without such a device."""

    def __init__(self, network, holds: int, error: Exception, everywhere: bool = False):
        super().__init__()
        self.network, self.holds, self.error, self.everywhere, self.on_card = network, holds, error, everywhere, False
        self.batches = SmallMemory.batches = []

    def __deepcopy__(self, memo):
        return self

    def to(self, device, **options):
        self.on_card = torch.device(device).type != "cpu"
        return self

    def forward(self, images):
        self.batches.append(len(images))
        if len(images) > self.holds and (self.on_card or self.everywhere):
            raise self.error
        return self.network(images)


ERRORS = (
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
)


class TestOutOfMemory:
    @pytest.fixture
    def card(self, monkeypatch):
        monkeypatch.setattr(prediction, "choose_device", lambda wanted: torch.device("cuda"))
        monkeypatch.setattr(prediction, "autocast_dtype", lambda device: None)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def _run(self, holds, error, **options):
        model, images = random_model(), _slices(10)
        wanted = [_plainly(model, image) for image in images]
        small = replace(model, network=SmallMemory(fold_batch_norm(model.network), holds, error, **options))
        predictor = Predictor(small, "auto", 8)
        return predictor, wanted, list(predictor.run(images))

    @pytest.mark.usefixtures("card")
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:4])
    def test_batches_are_halved(self, error):
        predictor, wanted, found = self._run(2, error)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert SmallMemory.batches == [8, 4, 2, 2, 2, 2, 2]
        assert predictor.device == "cuda"
        assert [text.rpartition("with ")[2] for text in predictor.warnings] == ["4 at once.", "2 at once."]
        assert "did not hold 8 slices at once for the model small" in predictor.warnings[0]

    @pytest.mark.usefixtures("card")
    def test_then_the_cpu_goes_on(self):
        predictor, wanted, found = self._run(0, ERRORS[0])
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert SmallMemory.batches[:5] == [8, 4, 2, 1, 8]
        assert predictor.device == "cpu"
        assert "goes on on the CPU" in predictor.warnings[-1]
        assert len(predictor.warnings) == 4

    @pytest.mark.usefixtures("card")
    def test_a_card_that_does_not_hold_the_network(self, monkeypatch):
        def refuse(self, device, **options):
            if torch.device(device).type == "cuda":
                raise ERRORS[0]
            return self

        monkeypatch.setattr(SmallMemory, "to", refuse)
        predictor, wanted, found = self._run(0, ERRORS[0])
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert predictor.device == "cpu"
        assert len(predictor.warnings) == 1

    @pytest.mark.usefixtures("card")
    def test_no_memory_anywhere(self):
        with pytest.raises(TaskError, match="use the classical method"):
            self._run(0, ERRORS[0], everywhere=True)

    def test_the_cpu_takes_fewer_too(self):
        model = random_model()
        error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        small = replace(model, network=SmallMemory(fold_batch_norm(model.network), 3, error, everywhere=True))
        predictor = Predictor(small, "cpu")
        assert len(list(predictor.run(_slices(10)))) == 10
        assert predictor.warnings
