# Lava is not installed where this is checked, and its classes carry no types.
# mypy: ignore-errors
"""Lava's own processes, made to run samples one after the other and to leave their records in files.

Runs in the isolated environment: Python 3.10 syntax, numpy and lava-nc only. Phase is the step within a
sample. The dynamics are Lava's, unchanged: a windowed LIF calls them in its window and is held at 0 outside.
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
    """Writes what arrives, plus `bias`, into the file of `record`."""

    def __init__(self, *, shape, window, record, bias):
        super().__init__(shape=shape, window=window, record=record, bias=bias)
        self.a_in = InPort(shape=shape)


class Shift(AbstractProcess):
    """Sends what came `steps` steps ago: a synaptic delay."""

    def __init__(self, *, shape, steps):
        super().__init__(shape=shape, steps=steps)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


class WindowedLIF(LIF):
    """Lava's LIF, held at 0 outside its window (onset, stop, period), in phases.

    `record` is (path, "spikes" or "value"); `wraps` is where the fixed point model counts overflows.
    """


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

    def _write(self, row):
        if self.time_step == 1:
            self.rows = np.load(self.proc_params["record"][0], mmap_mode="r+")
        self.rows[self.time_step - 1] = row


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class SinkFloat(_Windowed, PyLoihiProcessModel):
    """Records float64."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)

    def run_spk(self):
        """Write this step's row."""
        arrived = self.a_in.recv()
        self._write(arrived + self.proc_params["bias"] if self._in_window() else 0.0)


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
        self._write(self.v if self.proc_params["record"][1] == "value" else self.s_out_buff)


@implements(proc=WindowedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class WindowedLifFloat(_WindowedLif, PyLifModelFloat):
    """Lava's floating point LIF in a window."""

    implements_process = None


@implements(proc=WindowedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class WindowedLifFixed(_WindowedLif, PyLifModelBitAcc):
    """Lava's fixed point LIF in a window; it counts how often u left its 24 bits, which Lava wraps silently."""

    implements_process = None

    def subthr_dynamics(self, activation_in):
        """Lava's, after a look at the sum that it is about to wrap."""
        kept = np.int64(self.u) * (self.decay_unity - self.du - self.ds_offset)
        total = np.sign(kept) * (np.abs(kept) >> self.decay_shift) + (np.int64(activation_in) << self.act_shift)
        outside = np.count_nonzero((total > self.max_uv_val) | (total <= -self.max_uv_val))
        if outside:
            wraps = np.load(self.proc_params["wraps"], mmap_mode="r+")
            wraps[0] += outside
        super().subthr_dynamics(activation_in)
