# %% [markdown]
# # 10. A channel autoencoder / 自己符号化器で通信系を設計する
#
# 8種類の語を、雑音のある通信路を通して、2個の実数で伝えます。どの8点を送り、どう読み取るかを、送信側と受信側を
# 一つの自己符号化器とみなして**同時に**学習させ、手で設計した配置と比べます。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from shinso.maths.awgn import awgn
from shinso.metrics.symbol_error_rate import q_function

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
WORDS, SIGMA = 8, 0.1


def smallest_distance(points):
    """点 (n, 2) の間の最小距離。"""
    far = np.linalg.norm(points[:, None] - points, axis=-1)
    return far[~np.eye(len(points), dtype=bool)].min()


# %% [markdown]
# ## Exercise 1: points by hand / 演習1 手で置いた点
#
# 平均エネルギー $\frac18\sum_i\|c_i\|^2$ を1にそろえて、次の配置の最小距離を求めてください。
#
# 1. 8-PSK: 単位円の上に等間隔に8点。$2\sin(\pi/8)$ と一致しますか。
# 2. 中央に1点、まわりの円に7点。$2\sqrt{8/7}\,\sin(\pi/7)$ と一致しますか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1
def ring(count, radius=1.0):
    angle = 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


psk = ring(8)
centred = np.vstack([np.zeros((1, 2)), ring(7, (8 / 7) ** 0.5)])
for name, points in {"8-PSK": psk, "1 + 7": centred}.items():
    print(f"{name}: energy {np.square(points).sum(1).mean():.4f}, smallest distance {smallest_distance(points):.4f}")
    assert abs(np.square(points).sum(1).mean() - 1) < 1e-12
assert abs(smallest_distance(psk) - 2 * np.sin(np.pi / 8)) < 1e-12  # 0.7654
assert abs(smallest_distance(centred) - 2 * (8 / 7) ** 0.5 * np.sin(np.pi / 7)) < 1e-12  # 0.9277

# %% [markdown]
# ## Exercise 2: learn the points / 演習2 点を学習する
#
# 送信側: 8個の語 (one-hot) → 中間10 → 2個の実数。平均エネルギーが1になるように割ります。
# 受信側: 2個の実数 → 中間10 → ソフトマックス。損失は確率と one-hot の**二乗誤差** (交差エントロピーではありません)、
# Adam (学習率 0.01) で5,000ステップ、雑音の標準偏差は 0.1 です。
#
# 平均エネルギーをミニバッチで測ると、点の位置が「たまたま一緒に送られた語」で変わってしまいます。8点すべてで測ってください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2


class Channel(nn.Module):
    def __init__(self):
        super().__init__()
        self.sender = nn.Sequential(nn.Linear(WORDS, 10), nn.ReLU(), nn.Linear(10, 2))
        self.receiver = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, WORDS))

    def points(self):
        """8点 (8, 2)。平均エネルギーは、いつも全部の点で測る。"""
        raw = self.sender(torch.eye(WORDS))
        return raw / raw.square().sum(1).mean().sqrt()

    def forward(self, words, noise):
        return self.receiver(self.points()[words] + noise)


def squared(logits, words):
    return (logits.softmax(1) - F.one_hot(words, WORDS)).square().mean()


def learn(objective, seed, steps=600 if SMOKE else 5000):
    torch.manual_seed(seed)
    channel = Channel()
    optimiser = torch.optim.Adam(channel.parameters(), lr=0.01)
    for _ in range(steps):
        words = torch.randint(WORDS, (100,))
        loss = objective(channel(words, SIGMA * torch.randn(100, 2)), words)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return channel


def found(channel):
    return channel.points().detach().double().numpy()


channels = [learn(squared, seed) for seed in range(1 if SMOKE else 3)]
channel = max(channels, key=lambda one: smallest_distance(found(one)))
learned = found(channel)
for name, points in {"learned": learned, "8-PSK": psk, "1 + 7": centred}.items():
    print(f"{name}: smallest distance {smallest_distance(points):.4f}")
assert abs(np.square(learned).sum(1).mean() - 1) < 1e-6
assert smallest_distance(learned) < 0.9632  # 平面上の8点で知られている最良 (六角格子から取った8点) の 0.9631 は超えない
assert SMOKE or smallest_distance(learned) > smallest_distance(psk)

grid = torch.cartesian_prod(torch.linspace(-2, 2, 200), torch.linspace(-2, 2, 200))
with torch.no_grad():
    region = channel.receiver(grid).argmax(1).view(200, 200).T
plt.figure(figsize=(5, 5))
plt.pcolormesh(np.linspace(-2, 2, 200), np.linspace(-2, 2, 200), region.numpy(), cmap="Pastel1", shading="auto")
for points, marker, name in ((learned, "o", "learned"), (psk, "x", "8-PSK"), (centred, "+", "1 + 7")):
    plt.scatter(points[:, 0], points[:, 1], marker=marker, label=name)
plt.legend()
plt.show()

# %% [markdown]
# ## Exercise 3: the union bound / 演習3 ユニオンバウンド
#
# 語 $i$ を送って語 $j$ のほうが近くに見える確率は $Q(d_{ij}/2\sigma)$ です。足し合わせた
# $\frac18\sum_i\sum_{j\ne i} Q(d_{ij}/2\sigma)$ は、いちばん近い点に復号するときの語誤り率の上界になります。
# 誤り率を測って比べてください。$\sigma = 0.1$ では誤りが少なすぎるので、$\sigma = 0.25$ でも調べます。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3
def bound(points, sigma):
    far = np.linalg.norm(points[:, None] - points, axis=-1)
    return q_function(far[~np.eye(len(points), dtype=bool)] / (2 * sigma)).sum() / len(points)


def block_error(points, sigma, decide, count=100_000 if SMOKE else 500_000):
    rng = np.random.default_rng(1)
    words = rng.integers(len(points), size=count)
    return float((decide(awgn(points[words], sigma, rng)) != words).mean())


def nearest(points):
    return lambda y: (y @ points.T - 0.5 * np.square(points).sum(1)).argmax(1)


def by_network(y):
    with torch.no_grad():
        return channel.receiver(torch.tensor(y, dtype=torch.float32)).argmax(1).numpy()


for sigma in (SIGMA, 0.25):
    for name, points in {"learned": learned, "8-PSK": psk, "1 + 7": centred}.items():
        measured, limit = block_error(points, sigma, nearest(points)), bound(points, sigma)
        print(f"sigma {sigma}: {name:8s} block error {measured:.2e}, union bound {limit:.2e}")
        assert measured <= limit + 4 * (limit / (100_000 if SMOKE else 500_000)) ** 0.5
print(f"the network as receiver, sigma {SIGMA}: {block_error(learned, SIGMA, by_network):.2e}")
assert block_error(learned, 0.25, nearest(learned)) < bound(learned, 0.25)  # 誤りが多いところでは、はっきり下回る

# %% [markdown]
# ## Exercise 4: another loss / 演習4 損失を替える
#
# 交差エントロピーで学習すると、最小距離はどう変わりますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4
crossed = [found(learn(F.cross_entropy, seed)) for seed in range(1 if SMOKE else 3)]
print("squared error:", [round(float(smallest_distance(found(one))), 4) for one in channels])
print("cross entropy:", [round(float(smallest_distance(points)), 4) for points in crossed])
assert all(smallest_distance(points) < 0.9632 for points in crossed)
# 二乗誤差は、確率がほぼ 0 か 1 になると勾配が消える。交差エントロピーは、まれな誤りにも強く反応する。

# %% [markdown]
# ## What to remember / まとめ
#
# - 送信側と受信側の間に雑音をはさんだ自己符号化器は、雑音に強い点の配置を自分で見つける。
# - 学習が見つけるのは局所解。初期値を変えて最良のものを取り、理論値 (最小距離、ユニオンバウンド) と並べて判断する。
