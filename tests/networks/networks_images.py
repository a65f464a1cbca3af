"""Convolutional networks: classifiers, autoencoder, segmentation, residual blocks.

Shapes: T time, B batch, images [C, H, W].
"""

from __future__ import annotations

import snntorch as snn
import torch
import torch.nn.functional as F
from network_case import Case, by_step, by_window, held, spikes, values
from snntorch import surrogate, utils
from torch import nn


def sequential():
    grad = surrogate.atan()
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9, spike_grad=grad, init_hidden=True),
        nn.Conv2d(4, 6, 2),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9, spike_grad=grad, init_hidden=True),
        nn.Flatten(),
        nn.Linear(24, 5),
        snn.Leaky(beta=0.9, spike_grad=grad, init_hidden=True, output=True),
    )


class Tutorial6(nn.Module):
    """Functional pooling of currents and the batch's size by name, the loop inside."""

    def __init__(self, beta=0.9, num_steps=12):
        super().__init__()
        self.num_steps = num_steps
        self.conv1, self.lif1 = nn.Conv2d(1, 4, 3), snn.Leaky(beta=beta)
        self.conv2, self.lif2 = nn.Conv2d(4, 6, 2), snn.Leaky(beta=beta)
        self.fc1, self.lif3 = nn.Linear(24, 5), snn.Leaky(beta=beta)

    def forward(self, x):
        batch_size = x.shape[0]
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        mem3 = self.lif3.init_leaky()
        spk3_rec, mem3_rec = [], []
        for _ in range(self.num_steps):
            cur1 = F.max_pool2d(self.conv1(x), 2)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = F.max_pool2d(self.conv2(spk1), 2)
            spk2, mem2 = self.lif2(cur2, mem2)
            cur3 = self.fc1(spk2.view(batch_size, -1))
            spk3, mem3 = self.lif3(cur3, mem3)
            spk3_rec.append(spk3)
            mem3_rec.append(mem3)
        return torch.stack(spk3_rec), torch.stack(mem3_rec)


def recordings():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        snn.Leaky(beta=0.6, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 2),
        snn.Leaky(beta=0.6, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 5),
        snn.Leaky(beta=0.6, init_hidden=True, output=True),
    )


class Sign(torch.autograd.Function):
    """The sign, with the gradient passed on."""

    @staticmethod
    def forward(ctx, weight):
        return torch.where(weight < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, grad):
        return grad


class BinaryLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, Sign.apply(self.weight))


class Binarised(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.bn1 = BinaryLinear(16, 12, bias=False), nn.BatchNorm1d(12)
        self.lif1 = snn.Leaky(beta=0.8, init_hidden=True)
        self.fc2, self.bn2 = BinaryLinear(12, 5, bias=False), nn.BatchNorm1d(5)
        self.lif2 = snn.Leaky(beta=0.8, init_hidden=True)
        trained(self)

    def forward(self, x):
        x = self.lif1(self.bn1(self.fc1(x.flatten(1))))
        return self.lif2(self.bn2(self.fc2(x)))


def trained(net):
    """Give batch norms what training leaves in them."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                layer.weight.uniform_(0.8, 1.4)
                layer.bias.uniform_(0.0, 0.4)


class Autoencoder(nn.Module):
    """Encodes over all steps, then decodes over all steps; the answer is the last membrane."""

    def __init__(self, num_steps=12):
        super().__init__()
        self.num_steps = num_steps
        grad = surrogate.atan()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
            nn.Flatten(),
            nn.Linear(24, 8),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True, output=True),
        )
        self.decoder = nn.Sequential(
            nn.Linear(8, 24),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
            nn.Unflatten(1, (6, 2, 2)),
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(4),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True),
            nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1),
            snn.Leaky(beta=0.5, spike_grad=grad, init_hidden=True, output=True, threshold=1.0),
        )
        trained(self)

    def forward(self, x):
        utils.reset(self.encoder)
        utils.reset(self.decoder)
        spk_rec = []
        for _ in range(self.num_steps):
            spk_x, _ = self.encoder(x)
            spk_rec.append(spk_x)
        spk_rec = torch.stack(spk_rec, dim=2)
        mem_rec = []
        for step in range(self.num_steps):
            _, mem_x = self.decoder(spk_rec[..., step])
            mem_rec.append(mem_x)
        mem_rec = torch.stack(mem_rec, dim=4)
        return mem_rec[:, :, :, :, -1]


class Averaged(nn.Module):
    """Functional average pooling of spikes, and a view by the number of features."""

    def __init__(self):
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(2, 4, 3), snn.Leaky(beta=0.8, init_hidden=True)
        self.fc1, self.lif2 = nn.Linear(4 * 3 * 3, 5), snn.Leaky(beta=0.8, init_hidden=True)

    def forward(self, x):
        x = F.avg_pool2d(self.lif1(self.conv1(x)), 2)
        return self.lif2(self.fc1(x.view(-1, 4 * 3 * 3)))


class EventCamera(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False), snn.Leaky(beta=0.7, init_hidden=True), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), snn.Leaky(beta=0.7, init_hidden=True))

    def forward(self, x):
        return self.classifier(self.features(x))


class Upsampled(nn.Module):
    """A map of the whole image, and whether anything is in it; a dictionary of both."""

    def __init__(self):
        super().__init__()
        self.down, self.lif1 = nn.Conv2d(2, 4, 3, padding=1), snn.Leaky(beta=0.8)
        self.pool = nn.AvgPool2d(2)
        self.mid, self.lif2 = nn.Conv2d(4, 6, 3, padding=1), snn.Leaky(beta=0.8)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.head, self.lif3 = nn.Conv2d(6, 1, 3, padding=1), snn.Leaky(beta=0.8, threshold=0.3)
        self.any = nn.AdaptiveMaxPool2d(1)

    def forward(self, x):
        mem1, mem2, mem3 = self.lif1.reset_mem(), self.lif2.reset_mem(), self.lif3.reset_mem()
        maps, found = [], []
        for t in range(x.shape[0]):
            spk1, mem1 = self.lif1(self.down(x[t]), mem1)
            spk2, mem2 = self.lif2(self.mid(self.pool(spk1)), mem2)
            spk3, mem3 = self.lif3(self.head(self.up(spk2)), mem3)
            maps.append(spk3)
            found.append(self.any(spk3).flatten(1))
        return {"map": torch.stack(maps), "found": torch.stack(found)}


class Segmentation(nn.Module):
    """One batch norm a step, a skip by cat, a transposed convolution and a bilinear resizing."""

    def __init__(self, num_steps=12):
        super().__init__()
        self.num_steps = num_steps
        self.conv1, self.lif1 = nn.Conv2d(2, 4, 3, padding=1), snn.Leaky(beta=0.8)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in range(num_steps)])
        self.conv2, self.lif2 = nn.Conv2d(4, 6, 3, stride=2, padding=1), snn.Leaky(beta=0.8)
        self.up, self.lif3 = nn.ConvTranspose2d(6, 4, 2, stride=2), snn.Leaky(beta=0.8)
        self.head, self.lif4 = nn.Conv2d(8, 2, 1), snn.Leaky(beta=0.8, threshold=0.4)
        trained(self)

    def forward(self, x):
        mem1, mem2, mem3, mem4 = (lif.reset_mem() for lif in (self.lif1, self.lif2, self.lif3, self.lif4))
        out = []
        for step in range(self.num_steps):
            spk1, mem1 = self.lif1(self.norms[step](self.conv1(x[step])), mem1)
            spk2, mem2 = self.lif2(self.conv2(spk1), mem2)
            spk3, mem3 = self.lif3(self.up(spk2), mem3)
            cur = self.head(torch.cat((spk1, spk3), dim=1))
            cur = F.interpolate(cur, scale_factor=2, mode="bilinear", align_corners=False)
            spk4, mem4 = self.lif4(cur, mem4)
            out.append(spk4)
        return torch.stack(out)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.lif1 = snn.Leaky(beta=0.7, init_hidden=True)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.lif2 = snn.Leaky(beta=0.7, init_hidden=True)

    def forward(self, x):
        out = self.lif1(self.bn1(self.conv1(x)))
        return self.lif2(self.bn2(self.conv2(out)) + x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.lif = snn.Leaky(beta=0.7, init_hidden=True)
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.head = nn.Linear(4, 5)
        trained(self)

    def forward(self, x):
        x = self.blocks(self.lif(self.norm(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ToZero(nn.Module):
    """Reset to zero in the step of the spike."""

    def __init__(self):
        super().__init__()
        reset = {"beta": 0.8, "init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
        self.conv1, self.lif1 = nn.Conv2d(2, 4, 3), snn.Leaky(**reset)
        self.conv2, self.lif2 = nn.Conv2d(4, 4, 3, stride=2), snn.Leaky(**reset)
        self.fc, self.lif3 = nn.Linear(16, 5), snn.Leaky(**reset)

    def forward(self, x):
        x = self.lif2(self.conv2(self.lif1(self.conv1(x))))
        return self.lif3(self.fc(torch.flatten(x, 1)))


IMAGE = values(2, 1, 12, 12)
CASES = (
    Case(1, "tutorial 6: Sequential, pooled currents, output=True", sequential, held(IMAGE, 15), by_step, gain=2.5),
    Case(4, "tutorial 6: F.max_pool2d, view(batch_size, -1)", Tutorial6, IMAGE, by_window, gain=2.5),
    Case(5, "tutorial 7: pooled spikes, output=True", recordings, spikes(15, 2, 2, 12, 12), by_step, gain=3),
    Case(7, "binarised weights, BatchNorm", Binarised, held(values(3, 1, 4, 4), 15), by_step),
    Case(13, "spiking autoencoder, two loops", Autoencoder, values(2, 1, 8, 8), by_window, gain=2),
    Case(14, "F.avg_pool2d, view(-1, n)", Averaged, spikes(15, 3, 2, 8, 8), by_step, gain=3),
    Case(15, "event camera, pooled spikes", EventCamera, spikes(15, 3, 2, 8, 8), by_step, gain=3),
    Case(22, "FCN: Upsample, AdaptiveMaxPool2d, a dictionary", Upsampled, spikes(12, 2, 2, 8, 8), by_window, gain=3),
    Case(23, "FCN: a BatchNorm a step, bilinear", Segmentation, spikes(12, 2, 2, 8, 8), by_window, gain=3),
    Case(29, "residual blocks, BatchNorm, linear head", Residual, spikes(12, 2, 2, 8, 8), by_step, gain=1.5),
    Case(34, "reset to zero without delay", ToZero, spikes(15, 3, 2, 8, 8), by_step, gain=3),
)
