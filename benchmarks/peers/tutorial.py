"""PyTorch as its beginners' tutorial has it: a Dataset that turns one picture at a time, and a DataLoader."""

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.plain import plain


class Pictures(Dataset):
    """ToTensor and Normalize on each example."""

    def __init__(self, inputs, targets, mean, std):
        self.inputs, self.targets, self.mean, self.std = inputs, targets, mean, std

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        from PIL import Image

        picture = Image.fromarray(self.inputs[index, 0])
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, 28, 28)
        return (pixels.float().div(255) - self.mean) / self.std, int(self.targets[index])


class tutorial(plain):
    def __init__(self, data, options):
        super().__init__(data, options)
        pictures = Pictures(data["train_inputs"], data["train_targets"], float(data["mean"]), float(data["std"]))
        self.loader = DataLoader(pictures, batch_size=self.batch, shuffle=True, drop_last=True)
        self.source = iter(self.loader)

    def steps(self, n):
        losses = []
        for _ in range(n):
            try:
                x, y = next(self.source)
            except StopIteration:
                self.source = iter(self.loader)
                x, y = next(self.source)
            self.optimiser.zero_grad()
            loss = self.criterion(self.forward(x), y)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.item())
        return losses
