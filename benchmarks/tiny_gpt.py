"""The decoder of W6: characters, 4 layers, 128 wide, 4 heads, block 64 (Vaswani et al. 2017; Radford et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS, BLOCK = 128, 4, 4, 64


class Layer(nn.Module):
    """Attention to what came before, then a network of two layers at each place, both added to what is there."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, HEADS, -1)).movedim(-3, 0).transpose(-3, -2)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(-3, -2).flatten(-2))
        return x + self.narrow(F.gelu(self.wide(self.after(x))))


class TinyGPT(nn.Module):
    """int64 (n, t <= 64) -> scores (n, t, letters)"""

    def __init__(self, letters: int):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.last, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, letters, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # as GPT-2: what is added to the stream is smaller the deeper the stream
                nn.init.normal_(weight, std=0.02 / (2 * LAYERS) ** 0.5 if ".out" in name or ".narrow" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text) + self.places(torch.arange(text.shape[1], device=text.device))
        return self.head(self.last(self.layers(x)))
