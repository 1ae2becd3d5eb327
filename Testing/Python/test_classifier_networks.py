"""Networks that classify: what they take and give, what their outputs mean, their losses, and changed images."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

pytest.importorskip("torch", reason="classifiers need the extra 'network'")
pytest.importorskip("monai", reason="classifiers need the extra 'network'")

import torch
from blob_cases import FINDING, PLACES, SIDE
from DicomAnalysisLib.classification.architectures import FEATURES, NETWORKS, ClassifierDescription, build_classifier
from DicomAnalysisLib.classification.augmentation import Augmentation, augment
from DicomAnalysisLib.classification.cohort import Target
from DicomAnalysisLib.classification.heads import Heads, output_document, targets_of
from DicomAnalysisLib.classification.inference import FastNetwork
from DicomAnalysisLib.classification.losses import (
    BINARY_CROSS_ENTROPY,
    CATEGORICAL_CROSS_ENTROPY,
    HeadsLoss,
    class_weights,
    loss_name,
    make_loss,
    prior_shifts,
)
from DicomAnalysisLib.classification.pretrained import AT_RANDOM, load_pretrained, put_encoder_weights
from DicomAnalysisLib.errors import ModelError, UsageError
from DicomAnalysisLib.networks.architectures import ModelDescription, build_network
from DicomAnalysisLib.networks.card import ModelCard
from DicomAnalysisLib.networks.model_folder import load_model, save_model
from torch.nn import functional


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(network, outputs=1, views=1, pooling="attention", size="small", seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_classifier(ClassifierDescription(network, outputs, views, size, pooling)).eval()


def described(network, outputs=1, views=1, pooling="attention"):
    architecture = ClassifierDescription(network, outputs, views, "small", pooling).to_architecture()
    return ModelDescription("made", "1", "classify", architecture, {}, {})


SMALL = [
    *((name, 1, "attention") for name in NETWORKS if name.startswith(("volume3d", "slices"))),
    ("slices/small2d", 1, "conv"),
    ("slices/small2d", 1, "slicewise"),
    *((name, 3, "attention") for name in NETWORKS if name.startswith("multiview")),
]


def images_for(views, cases=2, seed=0, slices=6, side=40):
    depth = 1 if views > 1 else slices
    random = torch.Generator().manual_seed(seed)
    return torch.rand((cases, views, depth, side, side), generator=random), torch.ones(cases, views)


@pytest.mark.parametrize(("name", "views", "pooling"), SMALL)
def test_every_network_gives_logits_and_features_of_one_length(name, views, pooling):
    network = made(name, 4, views, pooling)
    images, present = images_for(views)
    with torch.inference_mode():
        logits, features = network(images, present), network.features(images, present)
        assert logits.shape == (2, 4) and features.shape == (2, FEATURES)
        assert torch.equal(network.score(network.reduce(images), present), logits)
        if pooling != "slicewise":  # there every slice has its logits
            torch.testing.assert_close(network.head(features), logits)
        alone = network(images[1:], present[1:])
        torch.testing.assert_close(alone, logits[1:], rtol=1e-4, atol=1e-5)
    assert network.explained_layer in dict(network.named_modules())


@pytest.mark.parametrize(("name", "views", "pooling"), SMALL)
def test_a_saved_network_answers_as_before(tmp_path, name, views, pooling):
    network = made(name, 2, views, pooling)
    save_model(tmp_path / "model", network, described(name, 2, views, pooling), ModelCard("Tests."))
    images, present = images_for(views)
    with torch.inference_mode():
        again = load_model(tmp_path / "model").network(images, present)
        assert torch.equal(again, network(images, present))


@pytest.mark.parametrize(("name", "views", "pooling"), SMALL)
def test_the_fast_network_gives_the_same(name, views, pooling):
    network = made(name, 2, views, pooling).train()
    images, present = images_for(views)
    with torch.no_grad():
        for _ in range(3):  # statistics of the normalisation that are not those of the beginning
            network(images * 3 + 1, present)
        expected = network.eval()(images, present)
    found = FastNetwork(network).logits(images, present)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_the_baseline_is_the_tutorials_network():
    network = build_classifier(ClassifierDescription("volume3d/small3d", 1, size="standard"))
    before_features = sum(
        tensor.numel()
        for name, tensor in network.body.state_dict().items()
        if not name.startswith("projection") and "num_batches" not in name
    )
    assert before_features == 1_352_897 - 513  # Keras counts its last layer of 512 + 1, too


def test_densenet121_is_monais():
    from monai.networks.nets import DenseNet121

    ours = build_classifier(ClassifierDescription("volume3d/densenet121", 1, size="standard")).body
    theirs = DenseNet121(spatial_dims=3, in_channels=1, out_channels=FEATURES)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


@pytest.mark.parametrize("pooling", ["attention", "conv", "slicewise"])
def test_empty_slices_change_nothing(pooling):
    network = made("slices/small2d", 2, pooling=pooling)
    images, present = images_for(1, slices=5)
    longer = functional.pad(images, (0, 0, 0, 0, 0, 3))
    with torch.inference_mode():
        torch.testing.assert_close(network(longer, present), network(images, present), rtol=1e-4, atol=1e-5)


def test_attention_says_how_much_each_slice_counts():
    for pooling in ("attention", "slicewise"):
        network = made("slices/small2d", 1, pooling=pooling)
        images, _present = images_for(1, slices=5)
        images[:, :, 3] = 0
        weights = network.slice_weights(images)
        assert weights.shape == (2, 5)
        torch.testing.assert_close(weights.sum(1), torch.ones(2))
        assert (weights[:, 3] == 0).all()


@pytest.mark.parametrize("name", ["multiview/shared", "multiview/early"])
def test_what_stands_in_a_missing_view_does_not_matter_and_the_order_of_views_does(name):
    network = made(name, 2, 3)
    images, present = images_for(3)
    present[:, 1] = 0
    other = images.clone()
    other[:, 1] = 7.0
    with torch.inference_mode():
        first = network(images, present)
        assert torch.equal(first, network(other, present))
        assert not torch.allclose(first, network(images, torch.ones(2, 3)))
        swapped = network(images[:, [2, 1, 0]], present[:, [2, 1, 0]])
        assert not torch.allclose(first, swapped, atol=1e-6)
        assert torch.isfinite(network(images * 0, present * 0)).all()


def test_one_view_networks_refuse_several():
    with pytest.raises(UsageError, match="takes one view a case, and the cohort has 8"):
        ClassifierDescription("volume3d/densenet121", 1, 8)


@pytest.mark.parametrize(
    "change",
    [{"network": "classifier:volume3d/unknown"}, {"outputs": "many"}, {"extra": 1}, {"network": "classifier:"}],
)
def test_a_description_that_is_not_one_is_refused(change):
    architecture = ClassifierDescription("volume3d/small3d", 1).to_architecture() | change
    with pytest.raises(ModelError):
        build_network(ModelDescription("x", "1", "classify", architecture))


class TestHeads:
    def test_outputs_stand_side_by_side(self):
        heads = Heads((FINDING, SIDE, PLACES))
        assert [(head.start, head.outputs) for head in heads] == [(0, 1), (1, 3), (4, 3)]
        assert heads.outputs == 7
        assert heads.judged[:2] == ("finding: abnormal", "side: none")

    def test_probabilities(self):
        heads = Heads((FINDING, SIDE, PLACES))
        logits = np.random.default_rng(0).normal(0, 30, (50, heads.outputs))
        found = heads.probabilities(logits, {"finding": 2.0})
        assert {name: values.shape for name, values in found.items()} == {
            "finding": (50, 2),
            "side": (50, 3),
            "place": (50, 3),
        }
        np.testing.assert_allclose(found["finding"].sum(1), 1)
        np.testing.assert_allclose(found["side"].sum(1), 1)
        np.testing.assert_allclose(found["finding"][:, 1], 1 / (1 + np.exp(-logits[:, 0] / 2)), atol=1e-12)
        assert all(((values >= 0) & (values <= 1)).all() for values in found.values())

    def test_targets_come_back_from_a_description(self):
        targets = (FINDING, SIDE, PLACES)
        document = output_document(targets, {"finding": 1.5}, ("",))
        assert targets_of(document) == targets
        assert document["temperature"] == {"finding": 1.5, "side": 1.0, "place": 1.0}
        with pytest.raises(ModelError, match="Train it again"):
            targets_of({"classes": ["a"]})


class TestLosses:
    def test_each_head_has_the_loss_that_belongs_to_it(self):
        heads = Heads((FINDING, SIDE, PLACES))
        assert [loss_name(head) for head in heads] == [
            BINARY_CROSS_ENTROPY,
            CATEGORICAL_CROSS_ENTROPY,
            BINARY_CROSS_ENTROPY,
        ]

    def test_a_categorical_loss_on_one_sigmoid_cannot_be_made(self):
        with pytest.raises(UsageError, match="1 output\\(s\\) with a sigmoid"):
            HeadsLoss(Heads((FINDING,)), names={"finding": CATEGORICAL_CROSS_ENTROPY})
        with pytest.raises(UsageError, match="softmax"):
            HeadsLoss(Heads((SIDE,)), names={"side": BINARY_CROSS_ENTROPY})
        with pytest.raises(UsageError):
            Target("one", "multiclass", ("only",))
        # What it would have been: a categorical cross-entropy of one output is 0 whatever the network says.
        assert float(functional.cross_entropy(torch.tensor([[3.0]]), torch.tensor([0]))) == 0
        loss = make_loss(Heads((FINDING,)), "none", {})
        assert float(loss(torch.tensor([[3.0]]), torch.tensor([[0]]))) > 3

    def test_numbers(self):
        heads = Heads((FINDING, SIDE, PLACES))
        logits = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor([[1, 2, 0, 1, 1], [0, 0, 1, 0, 0], [1, 1, 0, 0, 0]] * 2)
        expected = (
            functional.binary_cross_entropy_with_logits(logits[:, :1], labels[:, :1].float())
            + functional.cross_entropy(logits[:, 1:4], labels[:, 1])
            + functional.binary_cross_entropy_with_logits(logits[:, 4:], labels[:, 2:].float())
        )
        torch.testing.assert_close(make_loss(heads, "none", {})(logits, labels), expected)
        assert make_loss(heads, "focal", {})(logits, labels) < expected

    def test_an_unknown_label_counts_nothing(self):
        heads = Heads((SIDE, PLACES))
        logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor([[1, 0, 1, 1], [2, 0, 0, 0], [-1, -1, -1, -1], [-1, -1, -1, -1]])
        loss = make_loss(heads, "none", {})
        torch.testing.assert_close(loss(logits, labels), loss(logits[:2], labels[:2]))
        assert float(loss(logits[2:], labels[2:])) == 0

    def test_weights_make_classes_weigh_alike(self):
        labels = np.array([[1]] * 5 + [[0]] * 45)
        assert class_weights(FINDING, labels) == pytest.approx([9])
        several = class_weights(SIDE, np.array([[0]] * 60 + [[1]] * 30 + [[2]] * 10))
        assert several * [60, 30, 10] == pytest.approx([100 / 3] * 3)
        assert class_weights(FINDING, np.zeros((9, 1))) == pytest.approx([1])  # nothing to weigh
        heads = Heads((FINDING,))
        weights = {"finding": np.array([9.0])}
        table = torch.from_numpy(labels)
        # With weights the best constant logit is 0; without them log(5/45): what `prior_shifts` gives back.
        for shift, loss in ((0.0, make_loss(heads, "weights", weights)), (-np.log(9), make_loss(heads, "none", {}))):
            logit = torch.full((50, 1), shift, requires_grad=True)
            loss(logit, table).backward()
            assert abs(float(logit.grad.sum())) < 1e-6
        assert prior_shifts(heads, weights) == pytest.approx([-np.log(9)])


class TestAugmentation:
    HOW = Augmentation(flips=("left-right",))

    def test_is_a_pure_function_of_seed_epoch_and_index(self):
        images, _present = images_for(3, cases=6)
        whole = augment(images, np.arange(6), self.HOW, 1, 2)
        turned = augment(images[[4, 1]], np.array([4, 1]), self.HOW, 1, 2)
        assert torch.equal(turned, whole[[4, 1]])
        assert torch.equal(whole, augment(images, np.arange(6), self.HOW, 1, 2))
        for seed, epoch, first in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
            assert not torch.equal(whole, augment(images, first + np.arange(6), self.HOW, seed, epoch))

    def test_the_background_and_a_missing_view_stay_zero(self):
        images, _present = images_for(3)
        images[:, 1] = 0
        images[:, :, :, :5] = 0
        how = Augmentation(0, 0, 0, 0.5, 0.5)
        changed = augment(images, np.arange(2), how, 0, 0)
        assert (changed[images == 0] == 0).all() and not torch.equal(changed, images)
        assert (augment(images, np.arange(2), Augmentation(), 0, 0)[:, 1] == 0).all()

    def test_nothing_is_flipped_unless_asked(self):
        assert Augmentation().flips == ()
        images, _present = images_for(1, cases=16)
        still = Augmentation(0, 0, 0, 0, 0)
        assert torch.equal(augment(images, np.arange(16), still, 0, 0), images)
        flipped = augment(images, np.arange(16), Augmentation(0, 0, 0, 0, 0, ("left-right",)), 0, 0)
        same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
        mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
        assert 2 < sum(same) < 14 and [a != b for a, b in zip(same, mirrored, strict=True)] == [True] * 16
        with pytest.raises(UsageError, match="no flip"):
            Augmentation(flips=("inside-out",))

    def test_a_turn_is_a_turn_in_pixels(self):
        images = torch.zeros(1, 1, 1, 40, 80)
        images[..., 20, 10:70] = 1  # a line across the longer side
        turned = augment(images, np.array([0]), Augmentation(rotation=90, scale=0, shift=0, intensity=0, noise=0), 3, 0)
        rows, columns = np.nonzero(turned[0, 0, 0].numpy() > 0.3)
        slope, _offset = np.polyfit(columns, rows, 1) if np.ptp(columns) > np.ptp(rows) else (np.nan, 0)
        length = np.hypot(np.ptp(rows), np.ptp(columns))
        assert np.isfinite(slope) or np.ptp(rows) > 30
        assert length <= 62  # neither stretched nor squeezed


class TestPretrainedWeights:
    def test_imagenets_resnet_fits_by_name(self, tmp_path):
        network = made("slices/resnet50", size="standard")
        state = {f"module.{name}": value * 0 + 0.5 for name, value in network.encoder.state_dict().items()}
        state["module.conv1.weight"] = torch.ones(64, 3, 7, 7)  # for colours
        state["module.fc.weight"] = torch.ones(1000, 2048)
        torch.save(state, tmp_path / "resnet50.pth")
        said = load_pretrained(network, str(tmp_path / "resnet50.pth"))
        assert "53 of 53 convolutions" in said and "SHA-256" in said
        assert (network.encoder.conv1.weight == 3).all()
        assert (network.encoder.layer4[2].conv3.weight == 0.5).all()

    def test_vgg_without_normalisation_fits_by_order(self):
        from DicomAnalysisLib.classification.architectures.encoders import _VGG16

        state, channels, place = {}, 3, 0
        for width in _VGG16:
            if width:
                state[f"features.{place}.weight"] = torch.full((width, channels, 3, 3), 0.25)
                state[f"features.{place}.bias"] = torch.full((width,), 0.125)
                channels, place = width, place + 2
            else:
                place += 1
        state["classifier.0.weight"] = torch.ones(4096, 25088)
        network = made("slices/vgg16", size="standard")
        assert put_encoder_weights(network, state, "vgg16.pth") == (13, 13)
        convolutions = [one for one in network.encoder if isinstance(one, torch.nn.Conv2d)]
        assert (convolutions[0].weight == 0.75).all() and (convolutions[-1].weight == 0.25).all()
        assert (convolutions[-1].bias == 0.125).all()

    def test_weights_of_something_else_are_refused(self, tmp_path):
        network = made("slices/resnet50")
        torch.save({"conv.weight": torch.ones(3, 3)}, tmp_path / "other.pth")
        with pytest.raises(ModelError, match="fit 0 of"):
            load_pretrained(network, str(tmp_path / "other.pth"))
        (tmp_path / "text.pth").write_text("no weights")
        with pytest.raises(ModelError, match="cannot be read"):
            load_pretrained(network, str(tmp_path / "text.pth"))
        with pytest.raises(UsageError, match="has the SHA-256"):
            load_pretrained(network, str(tmp_path / "other.pth"), "0" * 64)
        with pytest.raises(UsageError, match="no file"):
            load_pretrained(network, str(tmp_path / "missing.pth"))

    def test_an_address_needs_a_hash_and_offline_starts_at_random(self, tmp_path):
        network = made("slices/small2d")
        with pytest.raises(UsageError, match="need their SHA-256"):
            load_pretrained(network, "https://localhost:9/weights.pth", cache=tmp_path)
        before = network.encoder[0].weight.clone()
        said = load_pretrained(network, "http://127.0.0.1:9/weights.pth", "0" * 64, cache=tmp_path)
        assert said.startswith(AT_RANDOM) and "could not be fetched" in said
        assert torch.equal(network.encoder[0].weight, before)
        with pytest.raises(UsageError, match="https alone"):
            load_pretrained(network, "http://example.org/weights.pth", "0" * 64, cache=tmp_path)

    def test_what_was_fetched_is_kept_and_checked(self, tmp_path):
        import http.server
        import threading

        network = made("slices/small2d")
        file = tmp_path / "served.pth"
        torch.save({name: value * 0 + 2 for name, value in network.encoder.state_dict().items()}, file)
        data = file.read_bytes()
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/small.pth"
        digest = hashlib.sha256(data).hexdigest()
        try:
            for _ in range(2):
                assert "7 of 7 convolutions" in load_pretrained(network, url, digest, cache=tmp_path / "cache")
            assert len(asked) == 1
            with pytest.raises(UsageError, match="not used"):
                load_pretrained(network, url, "1" * 64, cache=tmp_path / "cache")
        finally:
            server.shutdown()
            server.server_close()
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{digest}.pth"]
        assert (network.encoder[0].weight == 2).all()
