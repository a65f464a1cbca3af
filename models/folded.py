"""The same core over a whole window at once: stateless layers on T*B samples, neurons in a loop over T.

A core is one time step; unrolling it in Python runs every convolution T times on a small batch. Since
only neurons carry state, a feed-forward core may instead be walked node by node with all T steps. The
values are those of the step-by-step run up to the rounding of batched products.

Shape suffixes: T time steps, B samples, R = T B, N the remaining axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from snntorch import Leaky, SpikingNeuron, surrogate
from torch import Tensor, fx, nn

from spikeport.models import leaky_kernels
from spikeport.models.leaky_kernels import Membrane
from spikeport.models.state import reset_state
from spikeport.models.surrogate import SigmoidSurrogate

_CACHED = "_spikeport_folded"
_DETACHED = "_spikeport_detached"
_ATAN = surrogate.atan()
_ALPHA = _ATAN.__code__.co_freevars.index("alpha")


def fold(core: nn.Module, inputs_TBN: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Return what `core` gives, [T, B, *], run from state zero over all steps of `inputs_TBN`."""
    reset_state(core)
    graph = core.__dict__.get(_CACHED)
    if graph is None:
        graph = one_step(core)
        # In __dict__, not as a submodule: the core's state_dict must not see its weights twice.
        core.__dict__[_CACHED] = graph
    results: Tensor | tuple[Tensor, ...] = _Folded(graph).run(*inputs_TBN)
    return results


def one_step(core: nn.Module) -> fx.GraphModule:
    """Return the graph of one step of `core`, its neurons and torch's own layers kept whole."""
    return fx.GraphModule(core, _Tracer().trace(core))


class _Tracer(fx.Tracer):
    """Keeps neurons whole, besides torch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SpikingNeuron) or super().is_leaf_module(m, module_qualified_name)


class _Folded(fx.Interpreter):
    """Walks a one-step graph with values of shape [T, B, *]."""

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one layer over all steps."""
        layer = self.fetch_attr(target)
        (x_TBN,) = args
        if isinstance(layer, SpikingNeuron):
            return _neuron(layer, x_TBN)
        x_RN = x_TBN.flatten(0, 1)
        y_RN = _subsampled(layer, x_RN) if _skips_pixels(layer) else layer(x_RN)
        return y_RN.unflatten(0, x_TBN.shape[:2])


def _skips_pixels(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether `layer` is a 1x1 convolution that leaves pixels out, as residual blocks project, and nobody listens."""
    if type(layer) is not nn.Conv2d or layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__:
        return False
    return layer.kernel_size == (1, 1) and layer.stride != (1, 1) and layer.padding == (0, 0)


def _subsampled(layer: nn.Conv2d, x_RN: Tensor) -> Tensor:
    """Drop what such a convolution skips first: its gradient is over twice as fast without the gaps."""
    kept_RN = x_RN[..., :: layer.stride[0], :: layer.stride[1]]
    return nn.functional.conv2d(kept_RN, layer.weight, layer.bias, groups=layer.groups)


def detach_membrane(neuron: nn.Module) -> nn.Module:
    """Let no gradient flow through the membrane to the step before: the neuron learns from each step alone."""
    neuron.register_forward_pre_hook(_forget_gradient)
    neuron.__dict__[_DETACHED] = True
    return neuron


def _forget_gradient(neuron: Any, _: Any) -> None:
    neuron.mem = neuron.mem.detach()


def _neuron(neuron: SpikingNeuron, x_TBN: Tensor) -> Tensor:
    # Under mixed precision too, a membrane that adds up T inputs keeps to float32.
    x_TBN = x_TBN.float() if x_TBN.dtype in (torch.bfloat16, torch.float16) else x_TBN
    if _is_plain(neuron):
        window: Callable[..., Tensor] = _LeakyWindow.apply
        carried = not neuron.__dict__.get(_DETACHED, False)
        return window(x_TBN, _membrane(neuron), neuron.spike_grad, carried)
    return torch.stack([neuron(x_BN) for x_BN in x_TBN])


def _is_plain(neuron: SpikingNeuron) -> bool:
    """Whether `_LeakyWindow` is this neuron: a Leaky with snnTorch's timing of the reset and nothing to learn."""
    return (
        type(neuron) is Leaky
        and neuron.reset_delay
        and not (neuron.state_quant or neuron.inhibition or neuron.beta.requires_grad)
        and not (neuron.threshold.requires_grad or neuron.graded_spikes_factor.requires_grad)
        and neuron.beta.numel() == neuron.threshold.numel() == 1
        and float(neuron.graded_spikes_factor) == 1.0
    )


def _membrane(neuron: Any) -> Membrane:
    threshold = float(neuron.threshold)
    taken = threshold if neuron.reset_mechanism == "subtract" else 0.0
    left = 0.0 if neuron.reset_mechanism == "zero" else 1.0
    return Membrane(float(neuron.beta.clamp(0, 1)), threshold, left, taken)


class _LeakyWindow(torch.autograd.Function):
    """A `snntorch.Leaky` of one beta and threshold over T steps, from v = 0, without a graph a step.

    Forward, by its reset, with `s[t] = r[t] = v[t] > threshold`:

        zero:      v[t] = beta (1 - r[t-1]) v[t-1] + x[t]
        subtract:  v[t] = beta v[t-1] + x[t] - threshold r[t-1]
        none:      v[t] = beta v[t-1] + x[t]

    Backward, r detached as in snnTorch: `g[t] = ds[t] sigma'(v[t] - threshold) + beta g[t+1]`, without the last term
    where r[t] resets to zero, is the gradient of both v[t] and x[t]; sigma' is the neuron's own surrogate.
    """

    @staticmethod
    def forward(
        ctx: Any, x_TBN: Tensor, membrane: Membrane, spike_grad: Callable[[Tensor], Tensor], carried: bool
    ) -> Tensor:
        """Return spikes_TBN; `carried`: the gradient flows to earlier steps."""
        v_TBN, s_TBN = torch.empty_like(x_TBN), torch.empty_like(x_TBN)
        if leaky_kernels.fits(x_TBN):
            leaky_kernels.run(x_TBN, v_TBN, s_TBN, membrane)
        else:
            v_TBN[0] = x_TBN[0]
            for step in range(1, len(x_TBN)):
                before_BN = v_TBN[step - 1]
                fired_BN = before_BN > membrane.threshold
                kept_BN = torch.where(fired_BN, before_BN * membrane.left, before_BN)
                torch.mul(kept_BN, membrane.decay, out=v_TBN[step]).add_(x_TBN[step])
                v_TBN[step].sub_(fired_BN * membrane.taken)
            s_TBN.copy_(v_TBN > membrane.threshold)
        ctx.save_for_backward(v_TBN)
        ctx.membrane = membrane if carried else membrane._replace(decay=0.0)
        ctx.surrogate = spike_grad
        return s_TBN

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of x_TBN."""
        (v_TBN,) = ctx.saved_tensors
        threshold, silent, fired = ctx.membrane.carried
        compiled = _compiled_backward(ctx.surrogate)
        if compiled is not None and leaky_kernels.fits(v_TBN):
            run, sharpness = compiled
            g_TBN = torch.empty_like(v_TBN)
            run(grads[0], v_TBN, g_TBN, ctx.membrane, sharpness)
            return g_TBN, None, None, None
        with torch.enable_grad():
            over_TBN = (v_TBN - threshold).requires_grad_()
            (g_TBN,) = torch.autograd.grad(ctx.surrogate(over_TBN), over_TBN, grads[0])
        if silent == 0:
            return g_TBN, None, None, None
        if leaky_kernels.fits(g_TBN):
            leaky_kernels.run_back(g_TBN, v_TBN, ctx.membrane)
            return g_TBN, None, None, None
        for step in range(len(g_TBN) - 2, -1, -1):
            kept_BN = torch.where(v_TBN[step] <= threshold, silent, fired).to(g_TBN.dtype)
            g_TBN[step].addcmul_(kept_BN, g_TBN[step + 1])
        return g_TBN, None, None, None


def _compiled_backward(spike_grad: Any) -> tuple[Callable[..., None], float] | None:
    """Return the kernel of a surrogate that has one and the surrogate's sharpness; `None` for any other.

    `snntorch.surrogate.atan` is a closure over its sharpness.
    """
    if type(spike_grad) is SigmoidSurrogate:
        return leaky_kernels.run_back_sigmoid, spike_grad.slope
    if getattr(spike_grad, "__code__", None) is not _ATAN.__code__:
        return None
    return leaky_kernels.run_back_atan, float(spike_grad.__closure__[_ALPHA].cell_contents)
