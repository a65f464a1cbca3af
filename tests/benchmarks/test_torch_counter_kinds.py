"""Every kind of layer and call: random stacks, recurrence, attention, functional calls, and what is not counted."""

from __future__ import annotations

import random

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn
from torch_nets import Stepped, brute, by_layer, count, leaky, spikes

from spikeport.benchmarks.counting.torch_counter.apart import Options
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.rules import RULES

KINDS = {1: (nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d),
         2: (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d)}  # fmt: skip


def random_stack(rng: random.Random) -> tuple[Stepped, torch.Tensor]:
    """Return up to four layers over signals or images, with inputs of any kind."""
    rank = rng.choice([1, 2])
    conv, transposed, largest, average = KINDS[rank]
    shape = (rng.choice([2, 4]), *(rng.randint(5, 8) for _ in range(rank)))
    layers: list[nn.Module] = []
    x = torch.zeros(1, *shape)
    for _ in range(rng.randint(1, 3)):
        layer = random_layer(rng, x.shape[1], rank, conv, transposed, largest, average)
        try:
            with torch.no_grad():
                x = layer(x)
        except RuntimeError:
            continue  # larger than what is left of the picture
        layers += [layer, leaky()] if rng.random() < 0.7 else [layer]
    layers += [nn.Flatten(), nn.Linear(x[0].numel(), 3), leaky()]
    given = (2, 2, *shape)
    values = rng.choice([spikes(*given, p=0.3), torch.randn(given), torch.randint(-2, 3, given).float()])
    return Stepped(*layers).eval(), values


def random_layer(rng, channels, rank, conv, transposed, largest, average):
    def sizes(low, high):
        return tuple(rng.randint(low, high) for _ in range(rank))

    groups, out = rng.choice([1, 2]), rng.choice([2, 4])
    kind = rng.random()
    if kind < 0.2:
        return rng.choice([largest, average])(2)
    kernel, stride, dilation = sizes(1, 3), sizes(1, 2), sizes(1, 2)
    if kind < 0.4:
        return transposed(channels, out, kernel, stride, sizes(0, 1), 0, groups, True, dilation)
    mode = rng.choice(["zeros", "zeros", "circular", "replicate"])
    return conv(channels, out, kernel, stride, sizes(0, 2), dilation, groups, True, mode)


@pytest.mark.parametrize("block", range(10))
def test_two_hundred_random_stacks_match_the_event_walk(block):
    for seed in range(20 * block, 20 * block + 20):
        torch.manual_seed(seed)
        model, x = random_stack(random.Random(seed))
        only = seed % 3 == 0
        if only:
            with torch.no_grad():
                for p in model.parameters():
                    p[torch.rand_like(p) < 0.3] = 0
        counts = count(model, x, nonzero_weights_only=only)
        assert by_layer(counts) == brute(model, x, nonzero_only=only), (seed, model)


class Twice(nn.Module):
    """One layer at two places, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4, bias=False)
        self.again = self.fc
        nn.init.ones_(self.fc.weight)

    def forward(self, x):
        return self.again(self.fc(x).clamp(max=1))


class Functional(nn.Module):
    """The same products as modules and as calls."""

    def __init__(self, how) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 4))
        self.how = how

    def forward(self, x):
        return self.how(x, self.w)


CALLS = {
    "linear": F.linear,
    "matmul": lambda x, w: x @ w.t(),
    "left": lambda x, w: (w @ x.t()).t(),
    "einsum": lambda x, w: torch.einsum("bi,oi->bo", x, w),
    "tensordot": lambda x, w: torch.tensordot(x, w, ([1], [1])),
    "three axes": lambda x, w: F.linear(x[None], w),
    "addmm": lambda x, w: torch.addmm(torch.ones(5), x, w.mT),
    "bmm": lambda x, w: torch.bmm(x[:, None], w.t().expand(len(x), 4, 5)),
    "made weight": lambda x, w: F.linear(x, (w * 2).tanh()),
    "rows": lambda x, w: torch.stack([w.mv(row) for row in x]),
    "conv": lambda x, w: F.conv1d(x[:, :, None], w[:, :, None]),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_functional_calls_count_as_the_module_does(call, inference):
    torch.manual_seed(1)
    x = spikes(6, 4, p=0.5) * torch.tensor([1.0, 1.0, -1.0, 0.5])
    model = Functional(CALLS[call]).eval()
    unit, graded = int((x.abs() == 1).sum()), int((x == 0.5).sum())
    with torch.inference_mode(inference):
        counts = count(model, x)
    assert [(c.ac, c.mac, c.dense) for c in counts.layers.values()] == [(5 * unit, 5 * graded, 6 * 20)]
    if call != "made weight":
        assert list(counts.layers) == ["w"]


def test_a_shared_layer_counts_each_time():
    counts = count(Twice().eval(), torch.ones(2, 4))
    assert by_layer(counts) == {"fc": (2 * 32, 0, 2 * 32)}
    assert "Twice:clamp" in counts.not_counted


def test_attention_counts_exact_coincidences():
    torch.manual_seed(2)
    q, k = spikes(2, 3, 4, 5, p=0.4), spikes(2, 3, 4, 5, p=0.4)
    v = spikes(2, 3, 4, 5, p=0.4) * 0.5

    class Product(nn.Module):
        def forward(self, q):
            return torch.einsum("bhqs,bhsd->bhqd", q @ k.mT, v)

    counts = count(Product().eval(), q)
    scores = torch.einsum("bhqd,bhsd->bhqsd", q, k)
    made = q @ k.mT
    terms = made[..., None] * v[:, :, None]
    unit = (made == 1)[..., None] & (terms != 0)
    assert counts.synops_ac == int(scores.sum()) + int(unit.sum())
    assert counts.synops_mac == int(((made > 1)[..., None] & (terms != 0)).sum()) > 0
    assert counts.dense_macs == 2 * (2 * 3 * 4 * 4 * 5)


def test_fused_attention_and_its_masks():
    torch.manual_seed(3)
    q, k, v = (spikes(1, 2, 4, 5, p=0.5) for _ in range(3))
    keep = torch.ones(4, 4).tril().bool()

    class Fused(nn.Module):
        def forward(self, q):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True) + F.scaled_dot_product_attention(
                q, k, v, attn_mask=torch.zeros(4, 4).masked_fill(~keep, -torch.inf)
            )

    counts = count(Fused().eval(), q)
    pairs = torch.einsum("bhqd,bhsd->bhqsd", q, k) * keep[..., None]
    assert counts.synops_ac == 2 * (int(pairs.sum()) + int((keep.sum(0)[:, None] * v).sum()))
    assert counts.synops_mac == 0


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention_with_graded_values(weights):
    """The facts file's case (true 294,912 dense MACs): tools report 0 or 262,144."""
    torch.manual_seed(4)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mha = nn.MultiheadAttention(64, 4, batch_first=True)

        def forward(self, x):
            return self.mha(x, x, x, need_weights=weights)[0]

    counts = count(Attention().eval(), torch.randn(1, 16, 64))
    assert counts.dense_macs == 4 * 16 * 64 * 64 + 2 * 16 * 16 * 64 == 294_912
    assert counts.synops_ac + counts.synops_mac == 294_912
    assert {"mha.in_proj_weight", "mha.out_proj"} <= set(counts.layers)


def test_a_transformer_layer_is_seen_whole():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    counts = count(model, torch.randn(2, 3, 8))
    assert counts.dense_macs == 2 * (4 * 3 * 64 + 2 * 3 * 3 * 8 + 2 * 3 * 8 * 16)
    assert any("layer_norm" in name for name in counts.not_counted)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic", "one to one"])
def test_recurrent_neurons_count_their_weights_once_a_step(kind, reset):
    torch.manual_seed(5)
    options = {"init_hidden": True, "reset_mechanism": reset, "threshold": 0.4}
    if kind == "RLeaky":
        neuron, width = snn.RLeaky(beta=0.9, linear_features=6, **options), 6
    elif kind == "RSynaptic":
        neuron, width = snn.RSynaptic(alpha=0.5, beta=0.9, linear_features=6, **options), 6
    else:
        neuron, width = snn.RLeaky(beta=0.9, all_to_all=False, V=0.2, **options), 1
    fired = []
    neuron.register_forward_hook(lambda *args: fired.append(args[2].clone()))
    counts = count(Stepped(nn.Linear(4, 6), neuron).eval(), spikes(3, 8, 4, p=0.6))
    recurrent = counts.layers["layers.1.recurrent"]
    assert recurrent.ac == width * int(sum(s.sum() for s in fired[:-1])) > 0
    assert recurrent.dense == 3 * 8 * 6 * width
    assert counts.neurons["layers.1"].spikes == int(sum(s.sum() for s in fired))
    assert counts.neurons["layers.1"].state == 6 * (3 if kind == "RSynaptic" else 2)


CELLS = {"RNN": (nn.RNN, nn.RNNCell), "GRU": (nn.GRU, nn.GRUCell), "LSTM": (nn.LSTM, nn.LSTMCell)}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("given", [False, True])
def test_recurrent_sequences_count_as_their_cells(kind, given):
    torch.manual_seed(6)
    sequence, cell = CELLS[kind][0](4, 6, batch_first=True).eval(), CELLS[kind][1](4, 6).eval()
    x = spikes(3, 5, 4, p=0.5)
    h0 = spikes(1, 3, 6, p=0.5)
    state = (h0, h0) if kind == "LSTM" else h0
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(sequence, f"{name}_l0"))

    def steps(x):
        h = None if not given else (h0[0], h0[0]) if kind == "LSTM" else h0[0]
        for t in range(5):
            h = cell(x[:, t], h)

    whole = count(sequence, x, run=lambda x: sequence(x, state if given else None))
    stepped = count(cell, x, run=steps)
    assert list(by_layer(whole).values()) == list(by_layer(stepped).values())
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    assert whole.dense_macs == 3 * 5 * gates * 6 * (4 + 6)
    assert whole.synops_ac == gates * 6 * int(x.sum() + (h0.sum() if given else 0))
    assert any("gates" in name for name in whole.not_counted)


def test_a_bidirectional_rnn_sees_each_direction():
    torch.manual_seed(7)
    model = nn.GRU(4, 3, bidirectional=True).eval()
    x = spikes(5, 2, 4, p=0.5)
    counts = count(model, x)
    assert len(counts.layers) == 4
    hidden = {n: c for n, c in counts.layers.items() if "hh" in n}
    assert all(c.events == 4 * 2 * 3 for c in hidden.values()), "nothing at each direction's first step"


def test_a_deep_lstm_is_listed_and_not_zero():
    counts = count(nn.LSTM(4, 3, num_layers=2).eval(), torch.ones(5, 2, 4))
    assert not counts.layers
    assert "inner layers" in counts.not_counted["LSTM"]


def test_slstm_and_sconv2dlstm():
    torch.manual_seed(8)
    lstm = snn.SLSTM(4, 4, init_hidden=True, threshold=0.01, reset_mechanism="zero")
    x = spikes(3, 4, 4, p=0.5)
    counts = count(Stepped(lstm).eval(), x)
    cell = counts.layers["layers.0.lstm_cell.weight_ih"]
    assert cell.ac == 4 * 4 * int(x.sum()), "the zero reset runs the cell twice; the network does once"
    conv = snn.SConv2dLSTM(2, 3, 3, init_hidden=True, max_pool=2)
    counts = count(Stepped(conv).eval(), spikes(2, 3, 2, 4, 4))
    neurons = counts.neurons["layers.0"]
    assert (neurons.updates, neurons.emitted, neurons.state) == (2 * 3 * 48, 2 * 3 * 12, 96)


def test_graded_spikes_are_macs():
    torch.manual_seed(9)
    model = Stepped(nn.Linear(4, 6), leaky(graded_spikes_factor=0.5), nn.Linear(6, 2)).eval()
    counts = count(model, spikes(2, 9, 4, p=0.8))
    last = counts.layers["layers.2"]
    assert (last.ac, last.mac) == (0, 2 * counts.spikes)
    assert last.mac > 0


def test_what_is_not_counted_is_named():
    class Own(snn.Leaky):
        """A neuron of the user's, of which nothing is known."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.idle = nn.BatchNorm1d(4), nn.Linear(4, 4)
            self.bilinear, self.neuron = nn.Bilinear(4, 4, 2), Own(beta=0.5, init_hidden=True)

        def forward(self, x):
            x = self.neuron(self.norm(x))
            x = F.conv1d(x[:, None].expand(-1, 1, 4), x.sum() * torch.ones(1, 1, 1))
            return torch.fft.rfft(x.exp()), self.bilinear(x[:, 0], x[:, 0])

    listed = count(Odd().eval(), torch.ones(2, 4)).not_counted
    for name in ("norm", "idle", "bilinear:_trilinear", "neuron", "Odd:exp", "Odd:convolution", "Odd:_fft_r2c"):
        assert name in listed, (name, listed)
    assert listed["idle"] == "it never ran"
    assert "kernel depends on the input" in listed["Odd:convolution"]


class Calling(nn.Module):
    """Two calls with weights of its own."""

    def __init__(self, how) -> None:
        super().__init__()
        self.w, self.b, self.how = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5)), how

    def forward(self, x):
        return self.how(x, self)


def parametrized() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))


ADDS = {
    "linear": (Calling(lambda x, m: F.linear(x, m.w, m.b)), (2, 4), {"b"}),
    "addmm": (Calling(lambda x, m: torch.addmm(x @ m.w.t(), x, m.w.t())), (2, 4), {"Calling:addmm:addition"}),
    "no addition": (Calling(lambda x, m: torch.addmm(m.b, x, m.w.t(), beta=0)), (2, 4), set()),
    "scaled": (Calling(lambda x, m: torch.addmm(m.b, x, m.w.t(), alpha=2)), (2, 4), {"b", "Calling:addmm:scale"}),
    "baddbmm": (Calling(lambda x, m: torch.baddbmm(m.b, x[None], m.w.t()[None])), (2, 4), {"b"}),
    "addmv": (Calling(lambda x, m: torch.addmv(m.b, m.w, x[0])), (2, 4), {"b"}),
    "transposed": (nn.Sequential(nn.ConvTranspose1d(1, 2, 3)), (2, 1, 4), {"0.bias"}),
    "reflected": (nn.Sequential(nn.Conv1d(1, 2, 3, padding=1, padding_mode="reflect")), (2, 1, 4), {"0.bias"}),
    "parametrized": (parametrized(), (2, 4), {"0.bias"}),
    "GRU": (nn.GRU(4, 3), (2, 1, 4), {"GRU.bias_ih_l0", "GRU.bias_hh_l0", "GRU:gates"}),
    "GRU without": (nn.GRU(4, 3, bias=False), (2, 1, 4), {"GRU:gates"}),
    "cell": (nn.LSTMCell(4, 3), (2, 4), {"LSTMCell.bias_ih", "LSTMCell.bias_hh", "LSTMCell:gates"}),
    "cell without": (nn.LSTMCell(4, 3, bias=False), (2, 4), {"LSTMCell:gates"}),
}


@pytest.mark.parametrize("case", ADDS)
def test_every_bias_is_named(case):
    model, shape, expected = ADDS[case]
    listed = count(model.eval(), torch.ones(shape)).not_counted
    assert {n for n in listed if not n.endswith(":_weight_norm_interface")} == expected


def test_the_biases_and_softmax_of_attention_are_named():
    model = nn.TransformerEncoderLayer(8, 2, 16).eval()
    listed = count(model, torch.randn(2, 3, 8)).not_counted
    fused = "self_attn:_scaled_dot_product_flash_attention_for_cpu:softmax"
    assert {"self_attn.in_proj_bias", "self_attn.out_proj.bias", "linear1.bias", fused} <= set(listed)


def test_a_product_of_constants_is_listed_apart_from_a_layer():
    low_rank = Calling(lambda x, m: F.linear(x, m.w + m.b[:, None] @ m.b[None, :4]))
    counts = count(low_rank.eval(), torch.ones(2, 4))
    assert not set(counts.layers) & set(counts.not_counted)
    assert "a product of constants" in counts.not_counted["Calling:mm of constants"]


def test_the_kernels_of_cuda_take_what_their_rules_read():
    """They run on no CPU, so that the rules get what the schemas say."""
    torch.manual_seed(10)
    q, k, v = (spikes(2, 2, 4, 5, p=0.5) for _ in range(3))
    bias = torch.zeros(4, 4).masked_fill(torch.ones(4, 4).triu(1).bool(), -torch.inf)
    padded = [F.pad(t, (0, 3)) for t in (q, k, v)]
    calls = {
        "_scaled_dot_product_flash_attention_for_cpu": ((q, k, v, 0.0, True), {}),
        "_scaled_dot_product_flash_attention": ((*padded, 0.0, True, False), {"scale": 5**-0.5}),
        "_scaled_dot_product_efficient_attention": ((q, k, v, bias, False, 0.0, False), {"scale": 0.1}),
        "_scaled_dot_product_cudnn_attention": ((q, k, v, None, False, 0.0, True, False), {}),
    }
    for name, (args, kwargs) in calls.items():
        schema = getattr(torch.ops.aten, name).default._schema
        assert [a.name for a in schema.arguments if not a.kwarg_only][3:][: len(args) - 3] == {
            5: ["dropout_p", "is_causal"],
            6: ["dropout_p", "is_causal", "return_debug_mask"],
            7: ["attn_bias", "compute_log_sumexp", "dropout_p", "is_causal"],
            8: ["attn_bias", "compute_log_sumexp", "dropout_p", "is_causal", "return_debug_mask"],
        }[len(args)]
        ledger = Ledger(nn.Identity(), Options(False, False, False))
        RULES[name](ledger, "a", None, *args, **kwargs)
        tally = ledger.products["a"]
        causal = torch.ones(4, 4).tril()
        pairs = torch.einsum("bhqd,bhsd,qs->", q, k, causal) + (causal.sum(0)[:, None] * v).sum()
        assert (tally.read(), tally.dense) == ((int(pairs), 0), 2 * (2 * 2 * 4 * 4 * 5)), name
        assert list(ledger.not_counted) == ["a:softmax"]
    ledger = Ledger(nn.Identity(), Options(False, False, False))
    RULES["_scaled_dot_product_flash_attention"](ledger, "a", None, *padded, 0.0, True, False, scale=0.1)
    assert "a scale of one's own" in ledger.not_counted["a:padding"]
