"""What every encoder of histories must hold."""

import copy
import math
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from recbench.errors import InputError
from recbench.models.encoders import Packed, Rectangle
from recbench.models.encoders.choose import new_encoder

DIM = 16
NAMES = ("mean", "gru", "transformer", "hstu", "deepseek")
KEEPS_NO_SQUARE = ("mean", "gru", "transformer", "deepseek")  # HSTU's weights are one
LENGTHS = [5, 1, 12, 3]


@pytest.fixture(params=NAMES)
def encoder(request):
    return made(request.param)


def made(name, dim=DIM):
    torch.manual_seed(3)
    encoder = new_encoder(name, dim, n_layers=2)
    for parameter in encoder.parameters():
        if parameter.dim() > 1:  # published initial weights are so small that all would be equal
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def history(n_events, seed=0):
    generator = torch.Generator().manual_seed(seed)
    events = torch.randn(n_events, DIM, generator=generator)
    return events, torch.rand(n_events, generator=generator).sort(descending=True).values * 1e5


@pytest.fixture
def packed():
    parts = [history(length, seed) for seed, length in enumerate(LENGTHS)]
    events, ages = (torch.cat(part) for part in zip(*parts, strict=True))
    return events, Packed.of(torch.tensor(LENGTHS)), ages


def test_packed_sequences_are_encoded_as_each_alone(encoder, packed):
    together = encoder(*packed).split(LENGTHS)
    for seed, length in enumerate(LENGTHS):
        events, ages = history(length, seed)
        alone = encoder(events, Rectangle.of(events[None]), ages)
        torch.testing.assert_close(together[seed], alone, rtol=1e-5, atol=1e-5)


def test_what_comes_later_changes_nothing_before(encoder):
    events, ages = history(9)
    layout = Packed.of(torch.tensor([9]))
    changed, later = events.clone(), ages.clone()
    changed[6:], later[6:] = 5.0, 0.0
    before, after = encoder(events, layout, ages), encoder(changed, layout, later)
    torch.testing.assert_close(after[:6], before[:6])
    assert not torch.allclose(after[6:], before[6:], atol=1e-3)


def test_what_came_before_counts(encoder):
    events, ages = history(6)
    layout, changed = Packed.of(torch.tensor([6])), events.clone()
    changed[1] = -events[1]
    assert (
        encoder(changed, layout, ages)[-1] - encoder(events, layout, ages)[-1]
    ).abs().max() > 1e-3


def test_a_request_at_another_time_leaves_the_states(encoder):
    events, ages = history(8)
    layout = Packed.of(torch.tensor([8]))
    # ages grow alike, gaps stay; float32 keeps 1e5 seconds to a hundredth
    later = encoder(events, layout, ages + 4096.0)
    torch.testing.assert_close(later, encoder(events, layout, ages), rtol=1e-3, atol=1e-3)


def test_float32_agrees_with_float64(encoder, packed):
    events, layout, ages = packed
    exact = copy.deepcopy(encoder).double()(events.double(), layout, ages.double())
    torch.testing.assert_close(encoder(*packed).double(), exact, rtol=1e-4, atol=1e-4)


def test_every_weight_has_a_finite_gradient(encoder, packed):
    events, layout, ages = packed
    encoder.train()
    encoder(events.requires_grad_(), layout, ages).square().sum().backward()
    assert events.grad.isfinite().all()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_encoder(name):
    torch.manual_seed(5)
    first = new_encoder(name, DIM, n_layers=1).state_dict()
    torch.manual_seed(5)
    second = new_encoder(name, DIM, n_layers=1).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_states_after_one_event_each_are_those_of_a_full_pass(packed):
    encoder, (events, layout, ages) = made("transformer"), packed
    after = torch.tensor([3, 5, 12, 20])  # within each sequence, not always at its end
    full = encoder(events, layout, ages)[after]
    torch.testing.assert_close(encoder.after_each(events, layout, after), full)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    n_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.n_elements = max(self.n_elements, tensor.numel())
        return made


@pytest.mark.parametrize("name", KEEPS_NO_SQUARE)
def test_memory_does_not_grow_with_the_square_of_the_history(name):
    length, encoder = 512, made(name).train()
    events, ages = history(length)
    events.requires_grad_()
    with Largest() as largest:
        encoder(events, Packed.of(torch.tensor([length])), ages).sum().backward()
    # at most some inner width of 12 D for each event, and 512 rows of a table; a square is 262,144
    assert largest.n_elements < 14 * DIM * length < length * length


class Exported(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, events, ages):
        layout = Rectangle.of(events)
        return layout.rectangle(self.encoder(events.flatten(0, 1), layout, ages.flatten()))


def test_onnx_agrees_with_torch_at_any_batch_and_length(encoder, tmp_path):
    exported = Exported(encoder)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            (torch.randn(2, 5, DIM), torch.rand(2, 5)),
            tmp_path / "encoder.onnx",
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    names = [tensor.name for tensor in session.get_inputs()]
    rng = np.random.default_rng(0)
    for n_sequences, n_events in ((1, 1), (3, 7), (64, 50), (2, 512), (64, 1)):
        events = rng.standard_normal((n_sequences, n_events, DIM)).astype(np.float32)
        ages = -np.sort(-rng.random((n_sequences, n_events))).astype(np.float32) * 1e5
        given = dict(zip(["events", "ages"], (events, ages), strict=True))
        found = session.run(None, {name: given[name] for name in names})[0]
        with torch.no_grad():
            expected = exported(torch.from_numpy(events), torch.from_numpy(ages)).numpy()
        # a time on the edge of a bucket may fall to either side: none does with these
        assert np.abs(found - expected).max() < 1e-4 * max(
            1.0, math.sqrt(np.square(expected).mean())
        )


@pytest.mark.parametrize("name", ["transformer", "hstu", "deepseek"])
def test_a_width_that_heads_cannot_share_is_refused(name):
    with pytest.raises(InputError, match="`dim` must be a multiple of .*, got 15"):
        new_encoder(name, 15, n_layers=1)
