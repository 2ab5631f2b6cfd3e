# %% [markdown]
# # 9. Neural MIMO detection / ニューラルMIMO検出
#
# 4本のアンテナから同時に送った $\pm 1$ が、互いに混ざって4本のアンテナに届きます。混ざった信号から元の4つの記号を当てる
# 検出器を、逆行列 (ゼロフォーシング)、全探索、ニューラルネットワークの三通りで作り、誤り率を比べます。

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

from shinso.maths.awgn import awgn
from shinso.metrics.symbol_error_rate import (
    decide,
    exhaustive,
    posterior,
    symbol_error_rate,
    words,
    zero_forcing,
    zero_forcing_rate,
)

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす

# %% [markdown]
# ## The channel / 通信路
#
# $y = Hx + w$、$x \in \{+1, -1\}^4$、$w$ の標準偏差は $\sigma = 0.5$。$H$ は一度だけ引き、固定します。
# ミニバッチでは一行が一つの語なので、$Y = XH^\top + W$ と書きます。

# %%
rng = np.random.default_rng(0)
H = rng.normal(size=(4, 4))
SIGMA = 0.5


def transmit(count):
    """送った語 (count, 4) と、届いた語 (count, 4)。"""
    x = decide(rng.normal(size=(count, 4)))
    return x, awgn(x @ H.T, SIGMA, rng)


x, y = transmit(20_000)
plt.scatter(y[:2000, 0], y[:2000, 1], s=2, c=x[:2000, 0], cmap="coolwarm")
plt.xlabel("antenna 1")
plt.ylabel("antenna 2")
plt.show()

# %% [markdown]
# ## Exercise 1: zero forcing / 演習1 ゼロフォーシング等化
#
# $\hat x = \mathrm{sign}(H^{-1}y)$ の誤り率を測り、理論値
# $\frac14\sum_i Q\bigl(1 / (\sigma\|H^{-1}\text{の第}i\text{行}\|)\bigr)$ と比べてください。
#
# 講義の本文は $y = xH + w$ と書き、コードは $xH^\top$ を計算していました。本文のとおりに復号すると、どうなりますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1
forced = symbol_error_rate(x, zero_forcing(H, y))
expected = zero_forcing_rate(H, SIGMA)
print(f"zero forcing: measured {forced:.4f}, predicted {expected:.4f}")
wrong = (zero_forcing(H, y) != x).mean(1)
assert abs(forced - expected) < 4 * wrong.std() / len(x) ** 0.5
confused = symbol_error_rate(x, zero_forcing(H.T, y))  # y = xH のつもりで復号する
print(f"with H and its transpose confused: {confused:.4f}")
assert confused > 1.5 * forced
# sign(0) = 0 はどちらの記号でもないので、必ず誤りに数えられる。decide はかならずどちらかに決める。
assert np.sign(0.0) == 0 and decide(np.zeros(1)) == 1

# %% [markdown]
# ## Exercise 2: the best there is / 演習2 これより良い検出器はない
#
# 16通りの語をすべて試し、$\|y - Hx\|$ が最小の語を選ぶと (全探索)、**語**の誤り率が最小になります。
# **記号**の誤り率を最小にするのは、事後分布の平均 $E[x \mid y]$ の符号です。両方を測ってください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2
searched = symbol_error_rate(x, exhaustive(H, y))
mean = posterior(H, y, SIGMA) @ words(4)
least = symbol_error_rate(x, decide(mean))
print(f"exhaustive search {searched:.4f}, sign of the posterior mean {least:.4f}")
assert searched < forced
assert least < searched + 3 * (searched / x.size) ** 0.5

# %% [markdown]
# ## Exercise 3: a network / 演習3 ニューラルネットワーク
#
# 4-50-50-4 のネットワーク (中間層はReLU、出力は $\tanh$) を、毎回新しい語200個と二乗誤差、Adam (学習率 0.001) で
# 10,000ステップ学習します。$H$ はネットワークに教えません。誤り率は全探索とゼロフォーシングの間に入りますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3
torch.manual_seed(0)
detector = nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 4), nn.Tanh())
optimiser = torch.optim.Adam(detector.parameters(), lr=0.001)
losses = []
for _ in range(1500 if SMOKE else 10_000):
    sent, received = (torch.tensor(part, dtype=torch.float32) for part in transmit(200))
    loss = (detector(received) - sent).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
with torch.no_grad():
    output = detector(torch.tensor(y, dtype=torch.float32)).double().numpy()
neural = symbol_error_rate(x, decide(output))
floor = float((1 - mean**2).mean())  # 事後平均の二乗誤差: どんなネットワークの損失もこれを下回れない
plt.semilogy(losses, linewidth=0.5)
plt.axhline(floor, color="black", linestyle="--", label="posterior mean")
plt.xlabel("step")
plt.ylabel("squared error")
plt.legend()
plt.show()
for name, rate in {"zero forcing": forced, "network": neural, "exhaustive search": searched}.items():
    print(f"{name:18s} {rate:.4f}")
error = 3 * (searched / x.size) ** 0.5
assert searched - error < neural < forced
assert neural < (1.5 if SMOKE else 1.15) * least
# ネットワークの出力は事後平均 E[x|y] に近づく: 二乗誤差を最小にする答えだから
assert np.square(output - mean).mean() < (0.1 if SMOKE else 0.03)

# %% [markdown]
# ## What to remember / まとめ
#
# - 二乗誤差で学習したネットワークは事後平均を近似する。だから $H$ を知らなくても、全探索に近い誤り率になる。
# - $H$ は実行ごとに変わり、誤り率も桁で変わる。講義の「4,000個中8個と40個」は、その $H$ だけの数である。
# - 1,000語では誤り率 $10^{-3}$ は数個の誤りでしかない。比べるときは標準誤差も見る。
