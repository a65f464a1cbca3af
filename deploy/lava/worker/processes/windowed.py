# Lava is not installed where this is checked, and its classes carry no types.
# mypy: ignore-errors
"""Lava's own processes, made to run samples one after the other and to leave their records in files.

Runs in the isolated environment: Python 3.10 syntax, numpy and lava-nc only. Phase is the step within a
sample. The dynamics are Lava's, unchanged: a windowed LIF calls them in its window and is held at 0 outside. `OwnLIF`
is ours where Lava has no process: it overrides the reset, and lets neurons have decays and thresholds of their own.

`records` are paths by what is kept in them: `spikes`; `membrane`, v as `WindowedLIF` and `OwnLIF` say; `current`, u;
`sum`, what arrives.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF


class FileSource(AbstractProcess):
    """Sends row after row of the `.npy` file `path` [steps, N]."""

    def __init__(self, *, shape, path):
        super().__init__(shape=shape, path=path)
        self.s_out = OutPort(shape=shape)


class Sink(AbstractProcess):
    """Writes what arrives, plus `bias`."""

    def __init__(self, *, shape, window, records, bias):
        super().__init__(shape=shape, window=window, records=records, bias=bias)
        self.a_in = InPort(shape=shape)


class Shift(AbstractProcess):
    """Sends what came `steps` steps ago: a synaptic delay."""

    def __init__(self, *, shape, steps):
        super().__init__(shape=shape, steps=steps)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


class WindowedLIF(LIF):
    """Lava's LIF, held at 0 outside its window (onset, stop, period), in phases; its membrane is v after the reset.

    `counts` is where the fixed point model counts how often u wrapped, v was held at its limits, and it fired.
    """


class OwnLIF(WindowedLIF):
    """A windowed LIF with a reset of its own; all else is Lava's.

        s = v > vth, then v = v - reset_by s        (reset_by 0: no reset)
                       or v = 0 where s             (reset_by None)

    Its membrane is v before a subtraction, and after a reset to 0. du, dv, vth and reset_by are numbers or [N], whole
    ones in fixed point, where reset_by is in the unit of v.
    """

    def __init__(self, *, shape, du, dv, vth, reset_by, **more):
        super().__init__(shape=shape, reset_by=reset_by, **more)
        self.du, self.dv, self.vth = (Var(shape=np.shape(x) or (1,), init=x) for x in (du, dv, vth))


class _SendModel(PyLoihiProcessModel):
    def run_spk(self):
        if self.time_step == 1:
            self.rows = np.load(self.proc_params["path"], mmap_mode="r")
        self.s_out.send(self.rows[self.time_step - 1].astype(self.kind))


@implements(proc=FileSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class SendFloat(_SendModel):
    """Sends float64."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    kind = np.float64


@implements(proc=FileSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SendFixed(_SendModel):
    """Sends int32."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    kind = np.int32


class _ShiftModel(PyLoihiProcessModel):
    def run_spk(self):
        if self.time_step == 1:
            nothing = np.zeros(self.s_in.shape, dtype=self.kind)
            self.line = deque([nothing] * self.proc_params["steps"])
        self.s_out.send(self.line.popleft())
        self.line.append(self.s_in.recv().copy())


@implements(proc=Shift, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class ShiftFloat(_ShiftModel):
    """Shifts float64."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    kind = np.float64


@implements(proc=Shift, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class ShiftFixed(_ShiftModel):
    """Shifts int32."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    kind = np.int32


class _Windowed:
    """What a recorded model with a window shares; `time_step` counts from 1."""

    def _in_window(self):
        onset, stop, period = self.proc_params["window"]
        return onset <= (self.time_step - 1) % period < stop

    def _write(self, **rows):
        if self.time_step == 1:
            self.files = {kind: np.load(path, mmap_mode="r+") for kind, path in self.proc_params["records"].items()}
        for kind, file in self.files.items():
            file[self.time_step - 1] = rows[kind]


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class SinkFloat(_Windowed, PyLoihiProcessModel):
    """Records float64."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)

    def run_spk(self):
        """Write this step's row."""
        arrived = self.a_in.recv()
        self._write(sum=arrived + self.proc_params["bias"] if self._in_window() else 0.0)


class _WindowedLif(_Windowed):
    def run_spk(self):
        if self._in_window():
            super().run_spk()
        else:
            self.a_in.recv()
            self.u[:] = 0
            self.v[:] = 0
            self.s_out_buff = np.zeros(self.v.shape, dtype=bool)
            self.s_out.send(self.s_out_buff)
        self._write(spikes=self.s_out_buff, membrane=self._membrane(), current=self.u)

    def _membrane(self):
        return self.v


class _OwnLif(_WindowedLif):
    def reset_voltage(self, spike_vector):
        """Take `reset_by` off, whatever the threshold, after keeping v."""
        reset_by = self.proc_params["reset_by"]
        if reset_by is None:
            super().reset_voltage(spike_vector)
            return
        self.v_before = self.v.copy()
        self.v[spike_vector] -= np.broadcast_to(reset_by, self.v.shape)[spike_vector]

    def _membrane(self):
        subtracts = self.proc_params["reset_by"] is not None
        return self.v_before if subtracts and self._in_window() else self.v


class _Counts:
    """Counts what Lava does silently: u that left its 24 bits is wrapped, v is held; and spikes."""

    def run_spk(self):
        """Lava's."""
        if self.time_step == 1:
            self.counts = np.load(self.proc_params["counts"], mmap_mode="r+")
        super().run_spk()

    def subthr_dynamics(self, activation_in):
        """Lava's, with a look at the sums that it wraps and holds."""
        current = self._decayed(self.u, self.du + self.ds_offset) + (np.int64(activation_in) << self.act_shift)
        self.counts[0] += np.count_nonzero((current > self.max_uv_val) | (current <= -self.max_uv_val))
        kept = self._decayed(self.v, self.dv + self.dm_offset)
        super().subthr_dynamics(activation_in)
        self.counts[1] += np.count_nonzero(np.abs(kept + self.u + self.effective_bias) >= self.max_uv_val)

    def spiking_activation(self):
        """Lava's."""
        spikes = super().spiking_activation()
        self.counts[2] += np.count_nonzero(spikes)
        return spikes

    def _decayed(self, state, decay):
        product = np.int64(state) * (self.decay_unity - decay)
        return np.sign(product) * (np.abs(product) >> self.decay_shift)


@implements(proc=WindowedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class WindowedLifFloat(_WindowedLif, PyLifModelFloat):
    """Lava's floating point LIF in a window."""

    implements_process = None


@implements(proc=WindowedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class WindowedLifFixed(_Counts, _WindowedLif, PyLifModelBitAcc):
    """Lava's fixed point LIF in a window."""

    implements_process = None


@implements(proc=OwnLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class OwnLifFloat(_OwnLif, PyLifModelFloat):
    """Lava's floating point LIF with parameters of every neuron's own, and a reset of its own."""

    implements_process = None
    du: np.ndarray = LavaPyType(np.ndarray, float)
    dv: np.ndarray = LavaPyType(np.ndarray, float)
    vth: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=OwnLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class OwnLifFixed(_Counts, _OwnLif, PyLifModelBitAcc):
    """Lava's fixed point LIF with parameters of every neuron's own, and a reset of its own."""

    implements_process = None
    du: np.ndarray = LavaPyType(np.ndarray, np.int32)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int32)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32)
